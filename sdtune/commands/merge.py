"""`sdtune merge`: put subjects that were learned apart into one adapter."""

from argparse import ArgumentError
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser

from sdtune.commands.errors import CallError
from sdtune.commands.quiet import quiet_misleading_messages
from sdtune.models import NANO

__all__ = ["main"]

_BACKGROUNDS = ("a white background", "a dotted pink and blue background", "a green background")


def main(arguments: Sequence[str]) -> int:
    """Merge adapters.

    Args:
        arguments: The command line after `sdtune merge`.

    Returns:
        The exit code, 0.

    Raises:
        CallError: If the call or an adapter is wrong.
    """
    parser = ArgumentParser(
        prog="sdtune merge",
        description="Put subjects that were learned apart into one adapter, without training.",
        exit_on_error=False,
    )
    parser.add_argument(
        "adapters", type=Path, nargs="+", help="Adapters or run folders of MultiConceptModule."
    )
    parser.add_argument("--output", type=Path, required=True, help="Folder of the merged adapter.")
    parser.add_argument("--base", default=NANO, help="What the adapters were trained on.")
    parser.add_argument(
        "--texts",
        type=Path | None,
        help="File with a text on each line, what the model shall go on drawing as before; by "
        "default some hundred things on backgrounds.",
    )
    try:
        given = parser.parse_args(list(arguments))
    except ArgumentError as error:
        raise CallError([" ".join(str(error).split())]) from error
    quiet_misleading_messages()
    from sdtune.adapters.merging import merge_adapters
    from sdtune.adapters.pipeline import find_adapter_files
    from sdtune.adapters.registry import read_words

    try:
        adapter, model = merge_adapters(given.base, given.adapters, _texts(given.texts))
        path = adapter.save(given.output, {"sdtune.technique": "merge"})
    except (OSError, ValueError) as error:
        raise CallError([str(error)]) from error
    adapter.verify(path, model)
    words = " ".join(word.placeholder_token for word in read_words(find_adapter_files(path)))
    print(f"adapter:     {given.output}\nwords:       {words}")
    return 0


def _texts(path: Path | None) -> list[str]:
    if path is None:
        from sdtune.nano.making.objects import OBJECTS, with_article

        return [f"{with_article(name)} on {ground}" for name in OBJECTS for ground in _BACKGROUNDS]
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    texts = [line for line in lines if line]
    if not texts:
        raise ValueError(f"Expected {path} to hold a text on each line, but it is empty.")
    return texts
