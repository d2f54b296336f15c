"""JSON files: written whole or not at all, and read by their types, with all that is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from sdtune._checks import shortened
from sdtune.files.atomic_file import replaced_atomically
from sdtune.files.printable_text import encodable
from sdtune.files.text_file import parse_json_text, read_text

__all__ = [
    "JsonFileError",
    "has_keys",
    "key_name",
    "parse_json",
    "problem_sentence",
    "read_json",
    "write_json",
]

T = TypeVar("T")

_KINDS = {
    "bool_type": "true or false",
    "dataclass_type": "a mapping",
    "dict_type": "a mapping",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "an integer",
    "int_parsing": "an integer",
    "int_type": "an integer",
    "list_type": "a list",
    "string_type": "a text",
}
"""Pydantic's names of errors -> what was expected."""


class JsonFileError(ValueError):
    """A file that does not hold what it should.

    Args:
        source: The file.
        problems: All that is wrong with it, one sentence each.
    """

    def __init__(self, source: str | Path, problems: list[str]) -> None:
        self.problems = [f"{source}: {problem}" for problem in problems]
        super().__init__("\n".join(self.problems))


def read_json(kind: type[T], path: str | Path, version: int) -> T:
    """Read a file.

    Keys that the type does not have are left out, so that a later sdtune may write more of them.
    A change of meaning raises the file's `version`, and is refused.

    Args:
        kind: A dataclass of numbers, texts, lists, dictionaries, literals, None and dataclasses.
        path: The file.
        version: What its key `version` must be.

    Returns:
        An instance.

    Raises:
        FileNotFoundError: If there is no such file.
        JsonFileError: If it cannot be read, is no JSON, of another version, or not what the type
            says.
    """
    try:
        text = read_text(Path(path))
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise JsonFileError(path, [f"Expected JSON in UTF-8, but {error}."]) from error
    content = _loaded(text, path)
    found = content.get("version") if isinstance(content, dict) else None
    if found != version:
        problem = f"Expected version {version} of this file, but its `version` is {found!r}."
        raise JsonFileError(path, [problem])
    return parse_json(kind, text, path)


def parse_json(kind: type[T], text: str, source: str | Path) -> T:
    """Read a text as `read_json` reads a file, whatever its version.

    Args:
        kind: As for `read_json`.
        text: The text.
        source: Where it stands, for the error.

    Returns:
        An instance.

    Raises:
        JsonFileError: As for `read_json`.
    """
    _loaded(text, source)
    try:
        result: T = _adapter(cast(Any, kind)).validate_json(text, strict=True)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise JsonFileError(source, [problem_sentence(each) for each in problems]) from error
    return result


@cache  # it takes longer to make than to read a file
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def has_keys(path: Path, keys: Set[str]) -> bool:
    """Tell whether a file holds a mapping with some keys, as one that sdtune wrote does.

    Args:
        path: The file; one that cannot be read does not.
        keys: The keys; there may be others.
    """
    try:
        content = parse_json_text(read_text(path))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and keys <= content.keys()


def write_json(path: str | Path, content: Any) -> None:
    """Write a file, whole or not at all.

    Args:
        path: The file.
        content: What JSON can hold. Names that are no UTF-8 stand there as `encodable` writes them.

    Raises:
        ValueError: If a number is not finite, which JSON has no word for.
    """
    text = json.dumps(_encodable(content), indent=1, allow_nan=False)
    with replaced_atomically(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _encodable(content: Any) -> Any:
    if isinstance(content, str):
        return encodable(content)
    if isinstance(content, Mapping):
        return {_encodable(key): _encodable(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_encodable(each) for each in content]
    return content


def problem_sentence(problem: ErrorDetails) -> str:
    """Say a problem that Pydantic found as sdtune says it.

    Args:
        problem: One of `ValidationError.errors()`.

    Returns:
        Such as "Expected `checkpoints[1].step` to be an integer, but got '200'."
    """
    location = problem["loc"]
    is_key = location[-1:] == ("[key]",)
    name = f"`{key_name(location[:-2] if is_key else location)}`"
    name = f"each key of {name}" if is_key else "the whole" if name == "``" else name
    if problem["type"] == "missing":
        return f"Expected {name} to be given, but it is missing."
    return f"Expected {name} {_expectation(problem)}, but got {shortened(problem['input'])}."


def key_name(location: tuple[int | str, ...]) -> str:
    """Write a key as one names it, such as `checkpoints[1].step`.

    Args:
        location: Keys of mappings and positions in lists, outermost first.
    """
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


def _loaded(text: str, source: str | Path) -> Any:
    try:
        return parse_json_text(text)
    except ValueError as error:
        raise JsonFileError(source, [f"Expected JSON, but it is not: {error}."]) from error


def _expectation(problem: ErrorDetails) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "literal_error":
        return f"to be one of {context['expected']}"
    if kind == "too_short":
        return f"to hold at least {context['min_length']}"
    if kind == "expected":  # words of sdtune's own checks
        return problem["msg"]
    return f"to be {_KINDS[kind]}" if kind in _KINDS else f"to be valid ({problem['msg']})"
