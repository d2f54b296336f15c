"""Texts of strangers, read in bounded time and memory, and nothing else in their place."""

from __future__ import annotations

import codecs
import json
import tomllib
from pathlib import Path
from typing import Any

import yaml

from sdtune.files.confined_path import lies_within
from sdtune.files.regular_file import check_file

__all__ = ["parse_json_text", "parse_toml_text", "parse_yaml_text", "read_lines", "read_text"]

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LARGEST = 1_000_000_000  # bytes; the metadata of a million pictures are some hundred megabytes
_MOST = 100_000  # values of a YAML or TOML file; a recipe has some hundred


class _NotUtf8Error(UnicodeDecodeError):
    """Bytes that are no UTF-8, in words that say what to do."""

    def __str__(self) -> str:
        if self.object.startswith(_UTF_16):
            return "it is UTF-16, as Windows may save texts, and not UTF-8: save it as UTF-8"
        return f"its byte {self.start} is not UTF-8: save it as UTF-8"


def read_text(path: Path, folder: Path | None = None, *, largest: int = _LARGEST) -> str:
    """Read a UTF-8 text.

    Args:
        path: The file.
        folder: The folder that it must lie in, links followed; None for anywhere.
        largest: Bytes that it may have.

    Returns:
        The text, without a byte order mark.

    Raises:
        OSError: If it is no file (a pipe or device would be waited for), lies outside of the
            folder, is larger than it may be, or cannot be read.
        UnicodeDecodeError: If it is not UTF-8.
    """
    check_file(path)
    if folder is not None and path.is_symlink() and not lies_within(path, folder):
        raise OSError("it is a link out of the folder")
    with path.open("rb") as file:
        content = file.read(largest + 1)  # what the system makes up has no size
    if len(content) > largest:
        raise OSError(f"it is larger than {largest / 1e6:.0f} MB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _NotUtf8Error(*error.args) from error


def read_lines(path: Path, argument: str, each: str, *, largest: int = _LARGEST) -> list[str]:
    """Read a UTF-8 text in which each line is one thing.

    Args:
        path: The file.
        argument: What it is given as, such as `--prompts`.
        each: What a line is, such as "a prompt".
        largest: As for `read_text`.

    Returns:
        The lines without spaces around them, those that are empty left out; at least one.

    Raises:
        ValueError: If it cannot be read, or is empty.
    """
    try:
        lines = read_text(path, largest=largest).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"Expected `{argument}` to be a text file with {each} in each line, but {path} cannot "
            f"be read: {getattr(error, 'strerror', None) or error}."
        ) from error
    found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise ValueError(f"Expected `{argument}` to hold {each} in each line, but {path} is empty.")
    return found


def parse_json_text(text: str) -> Any:
    """Read JSON, however deep it is said to be.

    Args:
        text: The text.

    Returns:
        What it holds.

    Raises:
        ValueError: If it is no JSON, nested too deeply, has a number of too many digits, or a text
            that is no Unicode.
    """
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if "\\ud" in text.lower():  # an escape that may be half of a pair
        _check_unicode(json.dumps(content, ensure_ascii=False))
    return content


def parse_yaml_text(text: str) -> Any:
    """Read YAML of plain values, which references cannot make endless.

    Args:
        text: The text.

    Returns:
        What it holds.

    Raises:
        ValueError: If it is no YAML, gives a key twice, is nested too deeply, is larger than any
            recipe when all its references are written out, or has a text that is no Unicode or
            with a null character.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        _check_keys(node)
        content = None if node is None else loader.construct_document(node)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    _check_values(content)
    return content


def parse_toml_text(text: str) -> dict[str, Any]:
    """Read TOML.

    Args:
        text: The text.

    Returns:
        What it holds.

    Raises:
        ValueError: If it is no TOML, is nested too deeply, has a number of too many digits, more
            values than any settings have, or a text with a null character.
    """
    try:
        content = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    _check_values(content)
    return content


def _check_values(content: Any) -> None:
    seen, left = 0, [content]
    while left:
        seen += 1
        each = left.pop()
        if isinstance(each, dict):
            left += each.values()
            left += each
        elif isinstance(each, list | tuple | set):
            left += each
        elif isinstance(each, str):
            _check_unicode(each)
            if "\0" in each:  # in no path and no name
                raise ValueError("it holds a text with a null character")
        if seen + len(left) > _MOST:
            raise ValueError(f"it comes to more than {_MOST:,} values")


def _check_keys(root: yaml.Node | None) -> None:
    """Refuse a key that is given twice, of which YAML would lose the first."""
    seen: set[int] = set()
    left = [] if root is None else [root]
    while left:
        node = left.pop()
        if id(node) in seen:  # a reference
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            left += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                left.append(value)
                line = key.start_mark.line + 1
                name = key.value if isinstance(key, yaml.ScalarNode) else None
                if name is not None and name in lines:
                    raise ValueError(f"it gives `{name}` twice, in lines {lines[name]} and {line}")
                lines |= {} if name is None else {name: line}


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("it holds a text that is no Unicode") from error
