"""Whose classes a recipe may name: an import runs code, and a recipe may be anyone's."""

import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from importlib.util import find_spec

from jsonargparse import set_parsing_settings

from sdtune.commands.errors import CallError
from sdtune.commands.recipe import part_options

__all__ = ["TRUSTED", "is_trusted", "split_trust", "trust", "untrusted"]

TRUSTED = ("lightning", "sdtune", "torch", "torchmetrics")
"""Modules whose classes every recipe may name."""

# what loads code by name or unpickles, in modules that are trusted otherwise
_DENIED = ("torch.hub", "torch.package", "torch.serialization", "torch.utils.cpp_extension")

_given: set[str] = set()  # by the latest call


def split_trust(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take `--trust MODULE` out of a command line. No file can say it: it is the user's to say.

    Args:
        arguments: A command line.

    Returns:
        The other words, and the modules.

    Raises:
        CallError: If what is named is no module.
    """
    rest, named = part_options(arguments, lambda name: name == "trust")
    modules = [word.partition("=")[2] for word in named]
    for module in modules:
        if not all(part.isidentifier() for part in module.split(".")):
            raise CallError(
                [f"Expected `--trust` to name a module, such as my_package, but got `{module}`."]
            )
    return rest, modules


def trust(modules: Sequence[str] = ()) -> None:
    """Let the parser import from these modules, from those in `TRUSTED`, and from no others.

    Args:
        modules: What the user named, for this call.

    Raises:
        CallError: If it is a module that no recipe may name, or that there is not.
    """
    if any(each.partition(".")[0] == "jsonargparse" for each in modules):
        raise CallError(["Expected `--trust` to name another module than `jsonargparse`."])
    if missing := [each for each in modules if not _is_there(each)]:
        raise CallError(
            [
                f"Expected `--trust` to name a module that Python finds, but there is no `{each}`: "
                "install it, or add its folder to PYTHONPATH."
                for each in missing
            ]
        )
    forgotten = sorted(_given - {*modules, *TRUSTED})
    set_parsing_settings(
        import_path_denylist=["*", *_DENIED, *forgotten],
        import_path_allowlist=[*TRUSTED, *modules],
    )
    _given.clear()
    _given.update(modules)


def _is_there(module: str) -> bool:
    """Tell whether a module is found; none is imported, which would run it."""
    if module in sys.modules:
        return True
    top, *others = module.split(".")
    spec = find_spec(top)
    for part in others:
        if spec is None or spec.submodule_search_locations is None:
            return False
        spec = PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations)
    return spec is not None


def is_trusted(path: str) -> bool:
    """Tell whether a class may be imported.

    Args:
        path: Such as `sdtune.SampleGrid`, or a name alone, which imports nothing.

    Returns:
        Whether it is of a module that is trusted.
    """
    known = (*TRUSTED, *_given)
    return "." not in path or any(path.startswith(f"{each}.") for each in known)


def untrusted(key: str, path: str) -> str:
    """Say that a class is not imported, and what to type.

    Args:
        key: Where the recipe names it.
        path: The class.

    Returns:
        A sentence.
    """
    return (
        f"Expected `{key}` to name something of {', '.join(TRUSTED[:-1])} or {TRUSTED[-1]}, but "
        f"got `{path}`, which is other people's code: if you know it, give "
        f"`--trust {path.partition('.')[0]}`."
    )
