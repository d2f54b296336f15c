"""Fields of prompts, such as `{subject}`: what each reads for the tuned model, and for the base."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sdtune._wording import fitting

__all__ = ["PromptFields", "Reading", "Subject"]

_FIELD = re.compile(r"\{([A-Za-z_]\w*)\}")
_EMPTY = re.compile(r",?\s*$")
_WORD = re.compile(r"<[^<>\s]+>")


@dataclass(frozen=True)
class Subject:
    """A subject by its words, and what they come to in a prompt.

    Args:
        noun: What kind of thing it is, such as "robot"; the base and the judge read it.
        identifier: What stands before the noun to mean this one, such as "qqq", where no word is
            learned.
        placeholder: The word that is learned for it, such as `<robot>`.
        name: What the tuned model reads, if that is neither, such as "<erica> face".
    """

    noun: str
    identifier: str = ""
    placeholder: str = ""
    name: str = ""

    @property
    def tuned(self) -> str:
        """What the tuned model reads, such as "qqq robot" or "<robot>"."""
        named = " ".join(filter(None, [self.identifier.strip(), self.noun]))
        return self.name or self.placeholder or named

    @property
    def fits(self) -> bool:
        """Whether what stands beside a word in `name` is of the noun: "face" of "cat face"."""
        beside = _WORD.sub(" ", self.name)
        is_word = beside != self.name
        return not is_word or set(beside.lower().split()) <= set(self.noun.lower().split())

    @property
    def replaced(self) -> str:
        """The part of the noun that a word in `name` stands for: of "cat face", "cat"."""
        found = _WORD.search(self.name)
        before, after = self.name.split(found[0], 1) if found else ("", "")
        stands = self.noun.startswith(before) and self.noun.endswith(after)
        return self.noun[len(before) : len(self.noun) - len(after)] if stands else self.noun

    @property
    def word(self) -> str:
        """The word to learn for it, where one is learned and none is given: "<blue-robot>"."""
        found = _WORD.search(self.name)
        parts = re.findall(r"[^\W_]+", self.noun.lower())
        return found[0] if found else f"<{'-'.join(parts)}>"


@dataclass(frozen=True)
class Reading:
    """What a field reads.

    Attributes:
        tuned: In the prompts of the tuned model.
        plain: In those of the base and of what judges, and in prompts of the class.
    """

    tuned: str
    plain: str


@dataclass(frozen=True)
class PromptFields:
    """What may stand in braces in a prompt.

    Args:
        readings: Field -> what it reads. An empty reading takes the comma before it along.
        missing: Field -> what to give so that it can be used, in words, for the error.
    """

    readings: Mapping[str, Reading] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_subjects(cls, subjects: Sequence[Subject | None], missing: str = "") -> PromptFields:
        """Name the fields of subjects: `{subject}`, `{class}`; of several `{subject_1}` and so on.

        Args:
            subjects: In the order of the data; None for one of which no noun is known.
            missing: What to give for that one, such as "`data.class_noun`".

        Returns:
            The fields; a single subject has both names.
        """
        readings: dict[str, Reading] = {}
        unknown: dict[str, str] = {}
        for number, subject in enumerate(subjects, start=1):
            for end in [f"_{number}", *([""] if len(subjects) == 1 else [])]:
                if subject is None:
                    unknown |= {f"subject{end}": missing, f"class{end}": missing}
                    continue
                readings[f"subject{end}"] = Reading(subject.tuned, subject.noun)
                readings[f"class{end}"] = Reading(subject.noun, subject.noun)
        return cls(readings, unknown)

    @property
    def words(self) -> dict[str, str]:
        """What the tuned model reads -> what the base reads in its place; the longest first."""
        pairs = {each.tuned: each.plain for each in self.readings.values()}
        longest = sorted(pairs, key=len, reverse=True)
        return {tuned: pairs[tuned] for tuned in longest if tuned and tuned != pairs[tuned]}

    def tuned(self, text: str, key: str) -> str:
        """Fill the fields of a prompt for the tuned model.

        Args:
            text: A prompt; `{}` is no field.
            key: What it was given as, such as `data.instance_prompt`.

        Returns:
            The prompt.

        Raises:
            ValueError: If there is a field that is not known; it names the key and the field.
        """
        return self._filled(text, key, {n: each.tuned for n, each in self.readings.items()})

    def plain(self, text: str, key: str) -> str:
        """Fill the fields of a prompt of the class, or for the base or a judge; see `tuned`.

        An article before a field fits what it reads: "a {class}" is "an umbrella".
        """
        values = {name: each.plain for name, each in self.readings.items()}
        return self._filled(text, key, values, fits=fitting)

    def problems(self, texts: Sequence[str], key: str) -> list[str]:
        """List the fields of prompts that are not known, a sentence each.

        Args:
            texts: Prompts.
            key: What they were given as.
        """
        names = dict.fromkeys(name for text in texts for name in _FIELD.findall(text))
        return [self._problem(name, key) for name in names if name not in self.readings]

    def to_json(self) -> str:
        """Write the fields for the header of an adapter."""
        readings = {name: [each.tuned, each.plain] for name, each in self.readings.items()}
        return json.dumps(readings, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> PromptFields:
        """Read the fields of an adapter's header; what a stranger wrote otherwise is left out.

        Args:
            text: As `to_json` writes it.
        """
        try:
            content: Any = json.loads(text)
        except (ValueError, RecursionError):
            return cls()
        pairs = content.items() if isinstance(content, dict) else ()
        return cls({name: Reading(*pair) for name, pair in pairs if _is_pair(pair)})

    def _filled(
        self,
        text: str,
        key: str,
        values: Mapping[str, str],
        fits: Callable[[str, str], str] = lambda before, _: before,
    ) -> str:
        filled, end = "", 0
        for found in _FIELD.finditer(text):
            if found[1] not in values:
                raise ValueError(self._problem(found[1], key))
            filled += text[end : found.start()]
            value, end = values[found[1]], found.end()
            filled = fits(filled, value) + value if value else _EMPTY.sub("", filled)
        return (filled + text[end:]).strip() if end else text

    def _problem(self, name: str, key: str) -> str:
        if name in self.missing:
            return (
                f"Expected {self.missing[name]} to say what `{{{name}}}` in `{key}` stands for, "
                "but it is missing."
            )
        known = ", ".join(f"`{{{each}}}`" for each in self.readings)
        expected = f"the fields {known}" if known else "no fields, for the data has none"
        return f"Expected `{key}` to use {expected}, but got `{{{name}}}`."


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(x, str) for x in value)
