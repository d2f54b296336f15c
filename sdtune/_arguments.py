"""The arguments of a class that hands some on to its parents."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from inspect import Parameter, Signature

__all__ = ["whole_signature"]


def whole_signature(cls: type, hidden: Collection[str] = ()) -> Signature:
    """Put the arguments that `**kwargs` stands for in its place, as far up as they are handed on.

    jsonargparse finds them by itself; `help`, notebooks and editors look at this.

    Args:
        cls: A class whose constructors hand `**kwargs` on by `super().__init__(..., **kwargs)`.
        hidden: Arguments of its parents that the class fills in itself.

    Returns:
        Its own arguments, and those of its parents after them, by keyword alone.
    """
    found: dict[str, Parameter] = {}
    for each in (each for each in cls.__mro__ if "__init__" in vars(each)):
        parameters = list(inspect.signature(vars(each)["__init__"]).parameters.values())[1:]
        is_inherited = bool(found)
        for parameter in parameters:
            known = {*found, *hidden} if is_inherited else {}
            if parameter.kind is Parameter.VAR_KEYWORD or parameter.name in known:
                continue
            kind = Parameter.KEYWORD_ONLY if is_inherited else parameter.kind
            found[parameter.name] = parameter.replace(kind=kind)
        if not any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters):
            break
    return Signature(sorted(found.values(), key=lambda each: each.kind))
