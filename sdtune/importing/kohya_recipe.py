"""From kohya's settings to a recipe, with what became of each key."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, get_args

import yaml

from sdtune._checks import ArgumentsError, shortened
from sdtune.files.printable_text import printable
from sdtune.importing.kohya_data_keys import is_subject, sides_of
from sdtune.importing.kohya_settings import KohyaSettings
from sdtune.importing.kohya_table import KEYS
from sdtune.importing.kohya_training_keys import DEFAULT_RATE, DEFAULT_STEPS
from sdtune.importing.outcome import Fate, Outcome, UnfitError, number_or

__all__ = ["ImportedRecipe", "Told", "import_kohya"]

_WIDTH = 98
_MOST = 200  # keys of a list; a training has some hundred in all
_HEADINGS: Mapping[str, str] = {
    "taken over": "Taken over",
    "default": "Not given, and so as sd-scripts would have it",
    "no equal": "Has no equal here, and what that means",
    "meaningless here": "Means nothing here, and changes no result",
    "unknown": "Not known to sdtune, and left out",
}


@dataclass(frozen=True)
class Told:
    """What became of one key.

    Attributes:
        key: kohya's.
        value: What it is set to.
        outcome: What became of it.
    """

    key: str
    value: Any
    outcome: Outcome

    def line(self) -> str:
        """Say it in a line."""
        shown = f" = {_words(self.value)}"
        ours = ", ".join(f"{_place(key)} {_words(each)}" for key, each in self.outcome.ours.items())
        note = self.outcome.note
        told = "; ".join(filter(None, (ours, note)))
        return _on_one_line(f"{self.key}{shown}{f': {told}' if told else ''}")


@dataclass(frozen=True)
class ImportedRecipe:
    """A recipe and where it comes from.

    Attributes:
        content: The recipe.
        told: What became of every key that was given, each once.
        defaults: What sd-scripts has where nothing is given, and the recipe has to say or cannot.
        name: Of the file that it comes from.
    """

    content: Mapping[str, Any]
    told: Sequence[Told]
    defaults: Sequence[Told] = field(default_factory=list)
    name: str = ""

    def lists(self) -> Iterator[str]:
        """Say what became of every key.

        Yields:
            A line each, below headings.
        """
        groups: dict[str, list[Told]] = {
            fate: [each for each in self.told if each.outcome.fate == fate]
            for fate in get_args(Fate)
        }
        groups["default"] = [each for each in self.defaults if each.outcome.ours]
        groups["no equal"] += [each for each in self.defaults if not each.outcome.ours]
        for fate, heading in _HEADINGS.items():
            if groups[fate]:
                yield f"{heading} ({len(groups[fate])}):"
                yield from (f"  {each.line()}" for each in groups[fate][:_MOST])
                if len(groups[fate]) > _MOST:
                    yield f"  and {len(groups[fate]) - _MOST:,} more"

    def text(self) -> str:
        """Write the recipe's file, with the lists at its head."""
        title = f"From {_on_one_line(self.name)} of kohya's sd-scripts, by `sdtune import-config`."
        header = [title, "", *self.lists()]
        lines = [
            line
            for each in header
            for line in (textwrap.wrap(each, _WIDTH, subsequent_indent="    ") or [""])
        ]
        comment = "".join(f"# {line}".rstrip() + "\n" for line in lines)
        body = yaml.safe_dump(dict(self.content), sort_keys=False, allow_unicode=True, width=_WIDTH)
        return f"{comment}\n{body}"


def import_kohya(settings: KohyaSettings) -> ImportedRecipe:
    """Make a recipe.

    Args:
        settings: kohya's settings.

    Returns:
        The recipe, which has kohya's defaults where nothing is given.

    Raises:
        ArgumentsError: With every value that no recipe can have, and every one that is missing.
    """
    problems: list[str] = []
    unknown = [key for key in settings.values if key not in KEYS]
    near = {key: _near(key) for key in unknown[:_MOST]}
    told = [_told(key, value, settings, problems, near) for key, value in settings.values.items()]
    defaults = [_told(key, value, settings, problems) for key, value in _defaults(settings).items()]
    problems += _missing(settings)
    if problems:
        raise ArgumentsError(problems)
    ours = _gathered([*defaults, *told])
    for key, value, reason, changes in settings.set_aside:
        fate: Fate = "no equal" if changes else "meaningless here"
        told.append(Told(key, value, Outcome(fate, note=reason)))
    shown = [each for each in defaults if each.outcome.ours or each.outcome.fate == "no equal"]
    return ImportedRecipe(_assembled(ours, settings), told, shown, settings.path.name)


def _told(
    key: str,
    value: Any,
    settings: KohyaSettings,
    problems: list[str],
    near: Mapping[str, str] = MappingProxyType({}),
) -> Told:
    if key not in KEYS:
        return Told(key, value, Outcome("unknown", note=near.get(key, "")))
    try:
        return Told(key, value, KEYS[key].convert(value, settings))
    except UnfitError as error:
        where = settings.origins.get(key, settings.path)
        problems.append(f"{where}: Expected `{key}` to be {error}, but got {shortened(value)}.")
        return Told(key, value, Outcome("unknown"))


def _gathered(told: Sequence[Told]) -> dict[str, Any]:
    """Put what all keys come to side by side; the order of a file decides nothing."""
    ours: dict[str, Any] = {}
    said_by: dict[str, str] = {}
    for each in told:
        for key, value in each.outcome.ours.items():
            if ours.setdefault(key, value) != value:
                raise RuntimeError(
                    f"Expected `{said_by[key]}` and `{each.key}` to agree on `{key}`, but got "
                    f"{shortened(ours[key])} and {shortened(value)}: a fault of sdtune."
                )
            said_by.setdefault(key, each.key)
    for key in ours:
        above = key.rpartition(".")[0]
        if above in ours:
            raise RuntimeError(
                f"Expected `{said_by[key]}` to write nothing below `{above}`, which "
                f"`{said_by[above]}` writes, but it writes `{key}`: a fault of sdtune."
            )
    return ours


def _near(key: str) -> str:
    matches = get_close_matches(key.lower(), KEYS, n=1, cutoff=0.8)
    return f"did you mean `{matches[0]}`?" if matches else ""


def _defaults(settings: KohyaSettings) -> dict[str, Any]:
    """List what sd-scripts takes where nothing is given, as far as it is not ours as well."""
    found: dict[str, Any] = {
        "learning_rate": DEFAULT_RATE,
        "optimizer_type": "AdamW",
        "train_batch_size": 1,
        "max_train_steps": DEFAULT_STEPS,
        "max_grad_norm": 1.0,
        "enable_bucket": False,
    }
    if settings.is_adapter:
        found |= {"network_dim": 4, "network_alpha": 1}
    has_own_alpha = str(settings.get("network_module")).startswith("networks.")  # LyCORIS has not
    if has_own_alpha and number_or(0, settings.get("network_args.conv_dim")) > 0:
        found["network_args.conv_alpha"] = 1
    if settings.on("enable_bucket") and _has_usual_buckets(settings):
        found |= {"min_bucket_reso": 256, "max_bucket_reso": 1024, "bucket_reso_steps": 64}
    beside = {
        "train_batch_size": ("batch_size",),
        "max_train_steps": ("max_train_epochs",),
        "optimizer_type": ("use_8bit_adam", "use_lion_optimizer"),
        "network_dim": ("dim_from_weights", "network_weights"),
        "network_alpha": ("dim_from_weights", "network_weights"),
    }
    return {
        key: value
        for key, value in found.items()
        if key not in settings.values and not any(map(settings.get, beside.get(key, ())))
    }


def _has_usual_buckets(settings: KohyaSettings) -> bool:
    """Tell whether the resolution is one that sd-scripts takes with its usual buckets."""
    try:
        sides = sides_of(settings.get("resolution"))
    except UnfitError:
        return False
    return min(sides) >= 256 and max(sides) <= 1024


def _missing(settings: KohyaSettings) -> Iterator[str]:
    for key, words in (
        ("pretrained_model_name_or_path", "name the base"),
        ("resolution", "give the pictures' side, there or in the data set's file"),
    ):
        if settings.get(key) in (None, ""):
            yield f"{settings.path}: Expected `{key}` to {words}, but it is not given."
    if not settings.instance and settings.get("train_data_dir") in (None, ""):
        yield (
            f"{settings.path}: Expected `train_data_dir` or a data set's file (`dataset_config`, "
            "or `--dataset FILE.toml`) to say where the pictures are, but got neither."
        )


def _assembled(ours: Mapping[str, Any], settings: KohyaSettings) -> dict[str, Any]:
    """Put keys such as `model.rank` into a recipe's nesting."""
    subject = is_subject(settings)
    model: dict[str, Any] = {}
    if subject:
        model["prior_loss_weight"] = 1.0 if settings.has_class_pictures else 0.0
        model |= {} if settings.is_adapter else {"full_finetune": True}
    parts: dict[str, dict[str, Any]] = {"model": model, "data": {}, "trainer": {}}
    callbacks: dict[str, dict[str, Any]] = {
        name: {} for name in ("AdapterCheckpoint", "ResumeCheckpoint", "PictureLosses", "Progress")
    }
    recipe: dict[str, Any] = {}
    for key, value in ours.items():
        part, _, name = key.partition(".")
        if not name:
            recipe[part] = value
        elif part not in parts:
            callbacks.setdefault(part, {})[name] = value
        elif name.startswith("buckets.") and parts[part].get("buckets", {}) is not None:
            parts[part].setdefault("buckets", {})[name.removeprefix("buckets.")] = value
        else:
            parts[part][name] = value
    model_class, data_class = (
        ("DreamBoothModule", "SubjectDataModule")
        if subject
        else ("LoRAStyleModule", "StyleDataModule")
    )
    return {
        **recipe,
        "model": {"class_path": f"sdtune.{model_class}", "init_args": parts["model"]},
        "data": {"class_path": f"sdtune.{data_class}", "init_args": parts["data"]},
        "trainer": {
            **parts["trainer"],
            "callbacks": [
                {"class_path": f"sdtune.{name}", **({"init_args": given} if given else {})}
                for name, given in callbacks.items()
            ],
        },
    }


def _place(key: str) -> str:
    part, _, name = key.partition(".")
    return f"{name} of sdtune.{part}" if part[:1].isupper() else key


def _words(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    return shortened(value)


def _on_one_line(text: str) -> str:
    """Make a comment of what strangers send, which may hold ends of lines of any kind."""
    return printable(" ".join(text.split()))
