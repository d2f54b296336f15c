"""`sdtune cache`: what is kept between runs, how much room it takes, and how to be rid of it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sdtune._wording import counted
from sdtune.commands.call import read_call
from sdtune.commands.errors import CallError, nearest
from sdtune.commands.recipe import part_options
from sdtune.files.cache_folder import cache_limit, default_cache_dir, parse_size, size_words
from sdtune.files.cache_parts import PARTS
from sdtune.files.line_list import cut_list
from sdtune.files.printable_text import show

__all__ = ["clear", "fill", "info", "main"]

_USAGE = "sdtune cache info, sdtune cache clear or sdtune cache fill RECIPE.yaml"
_HELP = f"""\
usage: {_USAGE}

What is kept between runs: `info` says how much room it takes, `clear` deletes what can be computed
again, `fill` computes what a recipe needs, on several machines if you like. Each has its --help.
"""


def main(arguments: Sequence[str]) -> int:
    """Run `sdtune cache`.

    Args:
        arguments: The command line after it: `info`, `clear` or `fill`, and its own.

    Returns:
        The exit code, 0.

    Raises:
        CallError: If the call, or the recipe to fill by, is wrong.
    """
    action, *rest = arguments or [""]
    if action in ("-h", "--help"):
        show(*_HELP.splitlines())
    elif action == "info":
        info(**read_call(info, "sdtune cache info", rest))
    elif action == "clear":
        clear(**read_call(clear, "sdtune cache clear", rest))
    elif action == "fill":
        _fill(rest)
    else:
        near = nearest(action, ("info", "clear", "fill"))
        raise CallError([f"Expected {_USAGE}, but got `{action}`{near}"])
    return 0


def info(*, folder: Path | None = None) -> None:
    """Say what is in the cache, and how much room it takes.

    Args:
        folder: The cache; by default `$SDTUNE_CACHE` or `~/.cache/sdtune`.
    """
    root = _root(folder)
    found = {name: sizes for name in PARTS if (sizes := _sizes(root, name))}
    show(f"{root}: {size_words(sum(map(sum, found.values())))}")
    for name, sizes in found.items():
        files = counted(len(sizes), "file")
        show(f"  {name:15} {size_words(sum(sizes)):>9}  {files:>13}  {PARTS[name].meaning}")
    show(f"features are limited to {size_words(cache_limit())} (SDTUNE_CACHE_LIMIT)")


def clear(
    *, what: list[str] | None = None, limit: str | None = None, folder: Path | None = None
) -> None:
    """Delete what is kept between runs. Runs that are going on may have to be resumed.

    Files that sdtune has not written there are named and stay.

      sdtune cache clear                          what is computed again within minutes
      sdtune cache clear --what class_pictures    a part that `sdtune cache info` names
      sdtune cache clear --limit 20GB             the features that were not used for longest

    Args:
        what: Parts to delete; by default `features`, `manifests`, `scores`, `problems` and
            `latents`.
        limit: Delete features alone, until they take no more than this.
        folder: The cache; by default `$SDTUNE_CACHE` or `~/.cache/sdtune`.

    Raises:
        CallError: If there is no such part, or the limit is no size.
    """
    root = _root(folder)
    unknown = [name for name in what or () if name not in PARTS]
    if unknown:
        raise CallError(
            [
                f"Expected `--what` to be of {', '.join(PARTS)}, but got `{each}`."
                for each in unknown
            ]
        )
    if limit is not None:
        if what not in (None, ["features"]):
            raise CallError(["Expected `--limit` without other parts than `--what features`."])
        freed = _prune(root / "features", limit)
    else:
        names = what or [name for name, part in PARTS.items() if part.is_cleared]
        freed, left = 0, []
        for name in dict.fromkeys(names):
            size, others = PARTS[name].clear(root / name)
            freed += size
            left += [f"{path} is none of sdtune's, and stays" for path in others]
        show(*cut_list(left))
    show(f"{size_words(freed)} deleted from {root}")


def fill(recipe: str, *, workers: int | None = None) -> None:
    """Encode the pictures and captions of a recipe, without training.

    A run by that recipe then begins at once. Options of the recipe may follow, as for `sdtune fit`.
    What is kept already is not computed again. Class pictures that a base draws are drawn when the
    run starts.

      sdtune cache fill recipes/style_lora.yaml --data.folder photos/
      sdtune cache fill recipes/sd14/style_lora.yaml --workers 8

    Args:
        recipe: A recipe.
        workers: How many processes of a Ray cluster share the work, a GPU each where there are
            some: that of RAY_ADDRESS, or this machine. All see the recipe, the data and the cache
            under the same paths. By default this process does it.

    Raises:
        CallError: If the recipe, its data or the number of workers is wrong.
    """


def _fill(arguments: Sequence[str]) -> None:
    own, words = part_options(arguments, lambda name: "." in name or name == "seed")
    call = read_call(fill, "sdtune cache fill", own)
    words = ["--config", call["recipe"], *words]
    # only now: they bring torch along
    from sdtune.commands.filling import encode_share, share_summary

    workers = call.get("workers")
    if workers is None:
        show(encode_share(words, 1, 0))
        return
    from sdtune.comparison.ray_workers import RayWorkers

    try:
        run = RayWorkers(workers)
    except ValueError as error:
        raise CallError([str(error)]) from error
    shares = run(range(workers), partial(encode_share, words, workers))
    for done, _ in enumerate(shares, start=1):
        show(f"{done} of {workers} shares are encoded")
    show(share_summary(words))


def _prune(folder: Path, limit: str) -> int:
    from sdtune.files.feature_store import FeatureStore

    try:
        size = parse_size("--limit", limit)
    except ValueError as error:
        raise CallError([str(error)]) from error
    return FeatureStore(folder, size).prune(in_use=0.0)


def _root(folder: Path | None) -> Path:
    return default_cache_dir() if folder is None else folder.expanduser()


def _sizes(root: Path, name: str) -> list[int]:
    return [path.lstat().st_size for path in PARTS[name].files(root / name)]
