"""A row of the conformance table: an option, a value, and what must hold with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.conformance.bench import Bench
from tests.techniques.every_technique import TECHNIQUES

__all__ = ["ALL", "Arguments", "Check", "Row", "cli_words"]

Arguments = dict[str, Any]
Check = Callable[[Bench, Arguments], None]

# a plain LoRA is what every row is tried with
ALL = tuple(name for name in TECHNIQUES if name != "lora")
"""Names of all techniques, for `Row.techniques`."""


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        option: Parameter of the Trainer, or name of a callback or logger.
        value: As it is written in Python.
        what: What is checked, what the refusal says, or why it is not tried.
        arguments: The Trainer's arguments, or what makes them anew.
        check: Trains with them, and asserts what must hold; None if `verdict` says why not.
        verdict: What becomes of it.
        words: The same on the command line; None derives them from plain arguments, and a text
            is taken as it is. Empty if there is no such call.
        techniques: Names of techniques with which the check is made too: all where the option and a
            technique act on the same thing, else some that learn different things.
        needs: Package without which the row is skipped.
        slow: Whether it takes more than about two seconds.
    """

    option: str
    value: str
    what: str
    arguments: Mapping[str, Any] | Callable[[], Arguments] = field(default_factory=dict)
    check: Check | None = None
    verdict: Literal["works", "refused", "not tried here"] = "works"
    words: tuple[str, ...] | None = None
    techniques: tuple[str, ...] = ()
    needs: str = ""
    slow: bool = False

    @property
    def name(self) -> str:
        """The row's name among the tests."""
        return f"{self.option}-{self.value}"

    def made_arguments(self) -> Arguments:
        """Make the Trainer's arguments anew: callbacks and loggers keep state."""
        return self.arguments() if callable(self.arguments) else dict(self.arguments)

    def call_words(self) -> tuple[str, ...]:
        """Word the arguments for the command line; nothing if they are no plain values."""
        if self.words is not None or callable(self.arguments):
            return self.words or ()
        return cli_words(self.arguments)


def cli_words(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Word plain arguments of the Trainer for the command line.

    Args:
        arguments: By name; values as JSON has them.

    Returns:
        A word each.
    """
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in arguments.items()
    }
    return tuple(f"--trainer.{name}={text}" for name, text in texts.items())
