"""Everything that a parser refuses in a call, where the parser itself names the first alone.

The call is taken apart into its settings, and the parser is asked for the shortest beginning that
it refuses. The last setting of that is wrong; without it the parser is asked again. What is right
is thus the parser's to say, and there is no second schema.
"""

import os
from argparse import ArgumentError
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sdtune.commands.errors import CallError
from sdtune.commands.recipe import CLASS_KEYS, options, read_yaml
from sdtune.files.text_file import parse_yaml_text

__all__ = ["Key", "Setting", "as_mapping", "is_class_key", "read_settings", "refusals"]

Key = tuple[str | int, ...]
_SPEC = {"class_path", "init_args"}
_T = TypeVar("_T")


@dataclass(frozen=True)
class Setting:
    """One key and its value.

    Attributes:
        key: Such as ("trainer", "callbacks", 0, "init_args", "keep").
        value: As the file holds it; of the command line, its text.
        file: Which of the call's files holds it; None if it is on the command line.
        word: What is written on the command line.
        owner: Path of the class whose argument it is, if its own file names it.
    """

    key: Key
    value: Any
    file: int | None = None
    word: str = ""
    owner: str | None = None

    def belongs_to(self, other: "Setting") -> bool:
        """Tell whether this sets an argument of the class that another one chooses."""
        above = _plain(other.key)
        own = _plain(self.key)
        return len(own) > len(above) and own[: len(above)] == above


def read_settings(arguments: Sequence[str], problems: list[str]) -> list[Setting]:
    """Take a command line and its files apart.

    Args:
        arguments: Words such as ["--config", "recipe.yaml", "--model.rank=8"].
        problems: Gets a sentence for each file that cannot be read.

    Returns:
        Every setting, in the order in which they count.
    """
    settings: list[Setting] = []
    for number, (name, value) in enumerate(options(arguments)):
        key: Key = () if name == "config" else tuple(name.split("."))
        try:
            content = _classes_in(value or "") if key else _content(value or "")
        except CallError as error:
            problems += error.problems
            continue
        if content is None:
            word = f"--{name}" if value is None else f"--{name}={value}"
            settings.append(Setting(key, value, word=word))
            continue
        for below, owner, leaf in _leaves(content, key):
            settings.append(Setting(below, leaf, number, owner=owner))
    return settings


def refusals(
    settings: list[Setting], parse: Callable[[Sequence[Setting]], _T]
) -> Iterator[tuple[Setting, _T, str]]:
    """Find each setting that is refused, and take it out of the list.

    Args:
        settings: All of them; those that are accepted are left.
        parse: Parses settings, and raises ArgumentError if one of them is wrong.

    Yields:
        What is refused, what is parsed from all before it, and the parser's words.
    """
    parsed: dict[int, _T] = {}  # what the first so many come to, if they are accepted

    def error_of(count: int) -> str | None:
        try:
            parsed[count] = parse(settings[:count])
        except ArgumentError as error:
            return str(error)
        return None

    begin = 0
    while (error := error_of(len(settings))) is not None:
        first, end = begin, len(settings)  # so many are accepted; so many are refused
        while end - first > 1:
            middle = (first + end) // 2
            found = error_of(middle)
            first, end, error = (middle, end, error) if found is None else (first, middle, found)
        if end == 0:
            raise CallError([" ".join(error.split())])
        wrong = settings.pop(end - 1)
        begin = end - 1
        settings[begin:] = [each for each in settings[begin:] if not each.belongs_to(wrong)]
        yield wrong, parsed[begin] if begin in parsed else parse(settings[:begin]), error


def as_mapping(settings: Sequence[Setting]) -> dict[str, Any]:
    """Put settings of one file together again.

    Args:
        settings: Some of a file's.

    Returns:
        What a file with these alone would hold.
    """
    content: dict[str, Any] = {}
    for setting in settings:
        inside: Any = content
        for part, following in zip(setting.key, setting.key[1:], strict=False):
            new: Any = _Items() if isinstance(following, int) else {}
            inside = inside.setdefault(part, new)
        inside[setting.key[-1]] = setting.value
    return {key: _without_gaps(value) for key, value in content.items()}


class _Items(dict[int, Any]):
    """Items of a list by their number, of which some may be left out."""


def _without_gaps(value: Any) -> Any:
    if isinstance(value, _Items):
        return [_without_gaps(each) for each in value.values()]
    if isinstance(value, dict):
        return {key: _without_gaps(each) for key, each in value.items()}
    return value


def _plain(key: Key) -> Key:
    """Leave out what can be left out of a key on the command line."""
    parts = (part.removesuffix("+") if isinstance(part, str) else part for part in key)
    return tuple(part for part in parts if part not in _SPEC)


def _content(config: str) -> dict[str, Any]:
    """Read a file, or the text of one, which the parser takes as well."""
    if not os.path.isfile(config):  # a long text is no path
        try:
            content = parse_yaml_text(config)
        except ValueError:
            content = None
        if isinstance(content, dict):
            return content
    return read_yaml(config)


def _classes_in(text: str) -> Any:
    """Read the value of an option that gives classes with their arguments; None if it does not."""
    if "class_path" not in text:
        return None
    try:
        content = parse_yaml_text(text)
    except ValueError:
        return None
    return content if isinstance(content, list | dict) else None


def _leaves(content: Any, key: Key, owner: str | None = None) -> Iterator[tuple[Key, Any, Any]]:
    """Yield each key with the class that it is an argument of, if any, and its value."""
    if key == () or key == ("trainer",) or (isinstance(content, dict) and _SPEC & set(content)):
        if not isinstance(content, dict):
            yield key, owner, content
            return
        chosen = content.get("class_path", owner if key and key[-1] == "init_args" else None)
        for name in sorted(content, key=lambda name: name != "class_path"):
            yield from _leaves(content[name], (*key, name), chosen)
    elif key[-1] == "init_args" and isinstance(content, dict):
        for name, value in content.items():
            yield from _leaves(value, (*key, name), owner)
    elif isinstance(content, list) and any(isinstance(e, dict) and _SPEC & set(e) for e in content):
        for number, item in enumerate(content):
            yield from _leaves(item, (*key, number), owner)
    else:
        yield key, owner, content


def is_class_key(key: Key) -> bool:
    """Tell whether a key chooses a class.

    Args:
        key: Such as ("model",) or ("trainer", "logger", "class_path").

    Returns:
        Whether its value has to be the path of a class.
    """
    return key[-1] == "class_path" or (len(key) == 1 and key[0] in CLASS_KEYS)
