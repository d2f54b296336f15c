"""Types in words, as the end of a sentence that says what was expected."""

import types
import typing
from collections.abc import Sequence
from typing import Any, Literal, Union, get_args, get_origin

from jsonargparse.typing import restricted_number_type

__all__ = ["Seed", "annotation_of", "annotation_words"]


_LARGEST_SEED = 2**32 - 1  # that of numpy

Seed = restricted_number_type("Seed", int, [(">=", 0), ("<=", _LARGEST_SEED)])
"""An integer that torch, numpy and Python take as a seed."""


def annotation_of(cls: type, name: str) -> Any:
    """Find the type of an argument, of a class or of one that it inherits from.

    Args:
        cls: The class.
        name: The argument.

    Returns:
        Its annotation; None if there is none, or it is imported for type checking alone.
    """
    for each in cls.__mro__:
        try:
            hints = typing.get_type_hints(vars(each).get("__init__", object))
        except NameError:
            return None
        if name in hints:
            return hints[name]
    return None


def annotation_words(annotation: Any) -> str:
    """Word an annotation, such as "one of 'adamw', 'sgd' or null".

    Args:
        annotation: A type as `typing.get_type_hints` gives it; None if there is none.

    Returns:
        What stands after "Expected `key` to be".
    """
    if annotation is None:
        return "what its annotation says"
    if annotation is Seed:
        return f"an integer from 0 to {_LARGEST_SEED}"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(annotation_words(argument) for argument in arguments)
    if origin in (list, Sequence):
        return f"a list of {annotation_words(arguments[0])}"
    if annotation is types.NoneType:
        return "null"
    if isinstance(annotation, type) and not arguments:
        return annotation.__name__
    return str(annotation).replace("typing.", "").replace("collections.abc.", "")
