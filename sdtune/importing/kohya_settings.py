"""kohya's configuration files, read into one value a key, by its own rules of what goes first.

A training configuration is flat, or has sections whose names mean nothing. What the data set's
file says of a subset goes before its data set, that before `[general]`, and all of it before the
training configuration (sd-scripts, `library/config_util.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sdtune._checks import ArgumentsError, shortened
from sdtune.files.confined_path import is_confined, lies_within
from sdtune.files.text_file import parse_toml_text, read_text

__all__ = ["SUBSET_KEYS", "KohyaSettings", "SetAside", "Subset", "read_kohya"]

_LARGEST = 1_000_000  # bytes of a configuration file
_LISTS = ("network_args", "optimizer_args", "lr_scheduler_args")
_DATA_SET = "dataset_config"
_REPLACED = ("train_data_dir", "reg_data_dir", "in_json")  # kohya reads none beside a data set
_ALIASES = {"batch_size": "train_batch_size", "caption_extention": "caption_extension"}

SUBSET_KEYS = ("image_dir", "num_repeats", "class_tokens", "is_reg")
"""Keys that each subset has for itself."""


@dataclass(frozen=True)
class Subset:
    """A folder of pictures.

    Attributes:
        folder: Where they are.
        repeats: How often an epoch shows each.
        class_tokens: What a picture without a caption shows; None if it is not said.
    """

    folder: str
    repeats: int = 1
    class_tokens: str | None = None


class SetAside(NamedTuple):
    """A value that kohya itself does not use, or uses for regularisation pictures alone."""

    key: str
    value: Any
    reason: str
    changes_result: bool = False


@dataclass(frozen=True)
class KohyaSettings:
    """All that is set.

    Attributes:
        path: The training configuration.
        values: Key -> value; `network_args.conv_dim` is one of `network_args`.
        instance: Folders of what is learned, of a data set's file.
        regularisation: Folders of its class, likewise.
        set_aside: What is given and does not count.
        origins: Key -> the file that says it, where it is not the training configuration.
    """

    path: Path
    values: Mapping[str, Any]
    instance: Sequence[Subset] = ()
    regularisation: Sequence[Subset] = ()
    set_aside: Sequence[SetAside] = field(default_factory=list)
    origins: Mapping[str, Path] = field(default_factory=dict)

    def get(self, key: str, default: Any = None) -> Any:
        """Look a value up."""
        return self.values.get(key, default)

    def on(self, key: str) -> bool:
        """Tell whether a truth is given, and true; what is none is refused by its own key."""
        return self.get(key) in (True, "true", "True")

    @property
    def is_adapter(self) -> bool:
        """Whether a LoRA or one of its kin is trained, and not the whole UNet."""
        return "network_module" in self.values

    @property
    def has_class_pictures(self) -> bool:
        """Whether there are regularisation pictures."""
        return bool(self.regularisation) or "reg_data_dir" in self.values

    def neighbour(self, name: str) -> Path | None:
        """Find a file that a configuration names, in its own folder or below.

        Args:
            name: The path as it is given.

        Returns:
            The file; None if it is elsewhere or not there.
        """
        return _neighbour(self.path, name)


def read_kohya(path: Path, data_set: Path | None = None) -> KohyaSettings:
    """Read a training configuration and the data set's that it names.

    Args:
        path: The training configuration.
        data_set: The data set's, in the place of the one that it names.

    Returns:
        The settings.

    Raises:
        ArgumentsError: With all that is wrong with the files.
    """
    content = _read(path)
    described: dict[str, Any] = {}
    if isinstance(content.get("datasets"), list):
        described = {"general": content.pop("general", {}), "datasets": content.pop("datasets")}
    set_aside: list[SetAside] = []
    values = _flat(content, set_aside)
    named = values.get(_DATA_SET)
    if described and (data_set or named):
        raise ArgumentsError(
            [f"Expected one description of the data set, but {path} holds one, and names another."]
        )
    if data_set is None and named not in (None, ""):
        data_set = _neighbour(path, str(named))
        if data_set is None:
            is_near = is_confined(str(named)) and lies_within(path.parent / str(named), path.parent)
            fault = "there is no such file" if is_near else "it is elsewhere, and not read"
            raise ArgumentsError(
                [
                    f"Expected `{_DATA_SET}` of {path} to be a file in its folder or below, but "
                    f"{fault}: {shortened(named)}. Give the data set's by `--dataset FILE.toml`."
                ]
            )
    if data_set is not None:
        described = _read(data_set)
    reader = _DataSet(values, set_aside)
    reader.read(described, data_set or path)
    if reader.problems:
        raise ArgumentsError(reader.problems)
    expanded = _expanded(_filled(values, set_aside), path)
    found = reader.instance, reader.regularisation
    return KohyaSettings(path, expanded, *found, set_aside, reader.origins)


def _filled(values: Mapping[str, Any], set_aside: list[SetAside]) -> dict[str, Any]:
    """Leave out what a form left empty."""
    empty = {key: value for key, value in values.items() if value in ("", [])}
    set_aside += [SetAside(*each, "empty, as if it were not given") for each in empty.items()]
    return {key: value for key, value in values.items() if key not in empty}


def _read(path: Path) -> dict[str, Any]:
    try:
        return parse_toml_text(read_text(path, largest=_LARGEST))
    except FileNotFoundError as error:
        raise ArgumentsError(
            [f"Expected {path} to be a TOML file, but it does not exist."]
        ) from error
    except (OSError, ValueError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise ArgumentsError([f"Expected {path} to be a TOML file, but {reason}."]) from error


def _neighbour(path: Path, name: str) -> Path | None:
    if not is_confined(name):
        return None
    found = path.parent / name
    return found if lies_within(found, path.parent) and found.is_file() else None


def _flat(content: Mapping[str, Any], set_aside: list[SetAside]) -> dict[str, Any]:
    """Put the keys of all sections side by side."""
    values: dict[str, Any] = {}
    for name, value in content.items():
        inside = value if isinstance(value, dict) else {name: value}
        for key, each in inside.items():
            if key in values:
                reason = f"it is given again, in [{name}]"
                set_aside.append(SetAside(key, values[key], reason))
            values[key] = each
    return values


class _DataSet:
    """Reads what describes the data set over the training configuration's values.

    Attributes:
        instance: Folders of what is learned.
        regularisation: Folders of its class.
        problems: What is wrong.
        origins: Key that is read here -> its file.
    """

    def __init__(self, values: dict[str, Any], set_aside: list[SetAside]) -> None:
        self.instance: list[Subset] = []
        self.regularisation: list[Subset] = []
        self.problems: list[str] = []
        self.origins: dict[str, Path] = {}
        self._values = values
        self._set_aside = set_aside

    def read(self, content: Mapping[str, Any], path: Path) -> None:
        """Read it.

        Args:
            content: `general` and `datasets`; nothing of the two is no data set's file.
            path: The file, for sentences.
        """
        if not content:
            return
        self._put_aside(_REPLACED, f"{path.name} says which pictures there are")
        general = content.get("general", {})
        unknown = [key for key in content if key not in ("general", "datasets")]
        if not isinstance(general, dict) or unknown:
            self.problems.append(
                f"Expected {path} to hold `[general]` and `[[datasets]]` alone, but got "
                f"{', '.join(f'`{each}`' for each in unknown) or 'another `general`'}."
            )
            return
        places = list(self._subsets(general, content.get("datasets"), path))
        instance = [(own, above) for own, above in places if not own.get("is_reg", False)]
        if not instance and not self.problems:
            self.problems.append(f"Expected {path} to have a subset of pictures, but it has none.")
        if self.problems or not instance:
            return
        self._merge([above | own for own, above in instance], path)
        for own, above in places:
            if own.get("is_reg", False):
                self._add_regularisation(own, above, path)
            else:
                self.instance.append(self._subset(own, above, path))
        for key in SUBSET_KEYS:
            given = [own[key] for own, _ in places if key in own]
            given = given or [above[key] for _, above in places[:1] if key in above]
            if given:
                self._values[key] = given
                self.origins[key] = path

    def _subsets(
        self, general: dict[str, Any], data_sets: Any, path: Path
    ) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Yield what each subset says itself, and what is said above it."""
        for number, each in enumerate(data_sets if isinstance(data_sets, list) else []):
            subsets = each.get("subsets") if isinstance(each, dict) else None
            if not isinstance(subsets, list) or not all(isinstance(s, dict) for s in subsets):
                self.problems.append(
                    f"Expected data set {number + 1} of {path} to have `[[datasets.subsets]]`."
                )
                continue
            above = general | {key: value for key, value in each.items() if key != "subsets"}
            for subset in subsets:
                if "image_dir" not in subset:
                    self.problems.append(
                        f"Expected each subset of {path} to have an `image_dir`, but one of data "
                        f"set {number + 1} has none."
                    )
                else:
                    yield subset, above

    def _merge(self, effective: list[dict[str, Any]], path: Path) -> None:
        """Put the values that all subsets share over those of the training configuration."""
        for key in dict.fromkeys(key for each in effective for key in each):
            if key in SUBSET_KEYS:
                continue
            name = _ALIASES.get(key, key)
            fallback = self._values.get(name)
            found = [each.get(key, fallback) for each in effective]
            if any(each != found[0] for each in found):
                got = " and ".join(sorted({shortened(each) for each in found}))
                self.problems.append(
                    f"Expected all subsets of {path} to have the same `{key}`, which one recipe "
                    f"has once, but got {got}."
                )
                continue
            if name in self._values and self._values[name] != found[0]:
                self._put_aside([name], f"`{key}` of {path.name} goes before it")
            elif name != key:
                self._values.pop(name, None)
            self._values[key] = found[0]
            self.origins[key] = path

    def _subset(self, own: dict[str, Any], above: dict[str, Any], path: Path) -> Subset:
        given = above | own
        folder, repeats, tokens = (given.get(each) for each in SUBSET_KEYS[:3])
        repeats = 1 if repeats is None else repeats
        if not isinstance(folder, str) or not folder.strip():
            self._expected("image_dir", "a folder", folder, path)
        if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
            self._expected("num_repeats", "an integer of 1 or more", repeats, path)
        if tokens is not None and not isinstance(tokens, str):
            self._expected("class_tokens", "a text", tokens, path)
        return Subset(str(folder), repeats, tokens or None)

    def _add_regularisation(self, own: dict[str, Any], above: dict[str, Any], path: Path) -> None:
        self.regularisation.append(self._subset(own, above, path))
        for key, value in own.items():
            if key not in SUBSET_KEYS and self._values.get(key) != value:
                reason = "of regularisation pictures; here one value holds for all pictures"
                self._set_aside.append(SetAside(key, value, reason, changes_result=True))

    def _expected(self, key: str, words: str, got: Any, path: Path) -> None:
        self.problems.append(
            f"Expected `{key}` of each subset of {path} to be {words}, but got {shortened(got)}."
        )

    def _put_aside(self, keys: Sequence[str], reason: str) -> None:
        for key in keys:
            if key in self._values:
                self._set_aside.append(SetAside(key, self._values.pop(key), reason))


def _expanded(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Part `network_args = ["conv_dim=4"]` and its like into keys of their own."""
    expanded: dict[str, Any] = {}
    problems = []
    for key, value in values.items():
        if key not in _LISTS:
            expanded[key] = value
            continue
        for each in value if isinstance(value, list) else [value]:
            name, equals, text = str(each).partition("=")
            if not equals or not name.strip() or not isinstance(each, str):
                problems.append(
                    f'{path}: Expected `{key}` to be a list such as ["name=value"], but got '
                    f"{shortened(each)}."
                )
            else:
                expanded[f"{key}.{name.strip()}"] = _plain(text.strip())
    if problems:
        raise ArgumentsError(problems)
    return expanded


def _plain(text: str) -> Any:
    if text in ("True", "False", "true", "false"):
        return text.lower() == "true"
    if re.fullmatch(r"[-+]?\d{1,15}", text):
        return int(text)
    if re.fullmatch(r"[-+]?(\d{1,15}\.?\d*|\.\d+)([eE][-+]?\d{1,3})?", text):
        return float(text)
    return text.strip("\"'")
