"""`sdtune merge`: put subjects that were learned apart into one adapter."""

from collections.abc import Sequence
from pathlib import Path

from sdtune.commands.call import read_call
from sdtune.commands.errors import CallError
from sdtune.commands.quiet import quiet_misleading_messages

__all__ = ["main", "merge"]

_BACKGROUNDS = ("a white background", "a dotted pink and blue background", "a green background")


def main(arguments: Sequence[str]) -> int:
    """Run `sdtune merge`.

    Args:
        arguments: The command line after it.

    Returns:
        The exit code, 0.

    Raises:
        CallError: If the call or an adapter is wrong.
    """
    merge(**read_call(merge, "sdtune merge", arguments))
    return 0


def merge(
    adapters: list[Path], *, output: Path, base: str = "nano", texts: Path | None = None
) -> None:
    """Put subjects that were learned apart into one adapter, without training.

      sdtune merge runs/cat/version_0 runs/dog/version_0 --output both

    Args:
        adapters: Adapters or run folders of MultiConceptModule.
        output: Folder of the merged adapter.
        base: What the adapters were trained on, as in a recipe.
        texts: File with a text on each line, what the model shall go on drawing as before; by
            default some hundred things on backgrounds.

    Raises:
        CallError: If an adapter, the base or the texts are wrong.
    """
    quiet_misleading_messages()
    from sdtune.adapters.merging import merge_adapters
    from sdtune.adapters.pipeline import find_adapter_files
    from sdtune.adapters.registry import read_words

    try:
        adapter, model = merge_adapters(base, adapters, _texts(texts))
        path = adapter.save(output, {"sdtune.technique": "merge"})
    except (OSError, ValueError) as error:
        raise CallError([str(error)]) from error
    adapter.verify(path, model)
    words = " ".join(word.placeholder_token for word in read_words(find_adapter_files(path)))
    print(f"adapter:     {output}\nwords:       {words}")


def _texts(path: Path | None) -> list[str]:
    if path is None:
        from sdtune.nano.making.objects import OBJECTS, with_article

        return [f"{with_article(name)} on {ground}" for name in OBJECTS for ground in _BACKGROUNDS]
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    texts = [line for line in lines if line]
    if not texts:
        raise ValueError(f"Expected {path} to hold a text on each line, but it is empty.")
    return texts
