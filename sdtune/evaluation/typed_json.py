"""From JSON to dataclasses, by their annotations, with the key named that does not fit."""

from __future__ import annotations

import dataclasses
import types
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

__all__ = ["DecodeError", "decode"]

T = TypeVar("T")


class DecodeError(ValueError):
    """JSON that is not what the annotations say."""


def decode(kind: type[T], value: Any) -> T:
    """Build a dataclass of dataclasses from JSON; keys that no class has are left out.

    Args:
        kind: A dataclass, of numbers, texts, lists, dictionaries, literals, of either or None, and
            of further dataclasses.
        value: What `json.loads` returned.

    Returns:
        An instance.

    Raises:
        DecodeError: If a value is missing or of another type.
    """
    return cast(T, _decode(kind, value, ""))


def _decode(kind: Any, value: Any, key: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _decode_object(cast(type, kind), _checked(value, dict, key), key)
    if origin is list:
        items = enumerate(_checked(value, list, key))
        return [_decode(arguments[0], item, f"{key}[{number}]") for number, item in items]
    if origin is dict:
        pairs = _checked(value, dict, key).items()
        return {name: _decode(arguments[1], item, f"{key}.{name}") for name, item in pairs}
    if origin in (Union, types.UnionType):  # of a type and None
        return None if value is None else _decode(arguments[0], value, key)
    if origin is Literal:
        if value not in arguments:
            allowed = ", ".join(f"`{each}`" for each in arguments)
            raise DecodeError(f"Expected `{key}` to be one of {allowed}, but got {value!r}.")
        return value
    if kind is float:
        return float(_checked(value, (int, float), key))
    return _checked(value, kind, key)


def _decode_object(kind: type, value: dict[str, Any], key: str) -> Any:
    hints, arguments = get_type_hints(kind), {}
    for each in dataclasses.fields(kind):
        name = f"{key}.{each.name}".lstrip(".")
        if each.name in value:
            arguments[each.name] = _decode(hints[each.name], value[each.name], name)
        elif each.default is each.default_factory is dataclasses.MISSING:
            raise DecodeError(f"Expected `{name}` to be given, but it is missing.")
    return kind(**arguments)


def _checked(value: Any, kind: Any, key: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = " or ".join(each.__name__ for each in kinds)
        raise DecodeError(f"Expected `{key}` to be {names}, but got {value!r}.")
    return value
