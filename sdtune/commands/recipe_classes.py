"""The classes that a parsed recipe names."""

from functools import cache
from importlib import import_module
from inspect import Parameter, signature
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from sdtune.commands.trust import is_trusted

__all__ = ["argument_names", "import_chosen", "is_chosen", "is_whole", "type_name"]


def is_chosen(value: Any) -> bool:
    """Tell whether a part of a recipe chooses a class.

    Args:
        value: A value of a recipe.

    Returns:
        Whether it has a `class_path`.
    """
    return isinstance(value, Namespace) and isinstance(value.get("class_path"), str)


def import_chosen(value: Any) -> type | None:
    """Import the class that a part of a recipe chooses.

    Args:
        value: A value of a recipe.

    Returns:
        The class; None if it chooses none, or none that there is, or that is trusted.
    """
    if not is_chosen(value) or not is_trusted(value.class_path):
        return None
    module, _, name = value.class_path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (AttributeError, ImportError, ValueError):
        return None
    return found if isinstance(found, type) else None


def is_whole(value: Any) -> bool:
    """Tell whether a part of a recipe chooses a class and gives all that it needs.

    Args:
        value: A value of a recipe.

    Returns:
        Whether the class can be built.
    """
    chosen = import_chosen(value)
    if chosen is None:
        return False
    given = value.get("init_args") or Namespace()
    named = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    return all(
        given.get(name) is not None
        for name, each in signature(chosen).parameters.items()
        if each.kind in named and each.default is Parameter.empty
    )


def type_name(class_path: str) -> str:
    """Name a class without its module.

    Args:
        class_path: Such as `sdtune.SampleGrid`.

    Returns:
        Such as `SampleGrid`.
    """
    return class_path.rpartition(".")[2]


@cache
def argument_names(cls: type) -> list[str]:
    """List the arguments of a class that a recipe can set.

    Args:
        cls: The class.

    Returns:
        Their names.
    """
    parser = ArgumentParser(exit_on_error=False)
    added = parser.add_class_arguments(cls, "it", fail_untyped=False, sub_configs=True)
    return [name.removeprefix("it.") for name in added]
