"""The conformance table, and its page: `python -m tests.conformance.table > docs/conformance.md`.

A row that is said to work is trained with, and one that is said to be refused is refused, in
`test_conformance.py`; so the page says nothing that was not tried.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.commands.test_one_truth import (
    BAD,
    GOOD,
    MORE_BAD,
    MORE_GOOD,
    MORE_OF_TECHNIQUES,
    OF_TECHNIQUES,
)
from tests.conformance.callback_rows import CALLBACK_ROWS, LOGGER_ROWS
from tests.conformance.row import ALL, Row
from tests.conformance.trainer_rows import TRAINER_ROWS

__all__ = ["ROWS", "page"]

ROWS: tuple[Row, ...] = (*TRAINER_ROWS, *CALLBACK_ROWS, *LOGGER_ROWS)

_HEAD = """\
# What works of Lightning

What the Trainer does is the Trainer's. This table holds every parameter of
`lightning.pytorch.Trainer`, every stock callback and every stock logger, with the values that
matter. Each either works as Lightning documents it, or is refused by a sentence before the first
step: with exit code 2 by `sdtune check`, `sdtune fit` and `lightning run`, and as an exception in
Python. The tests try each row and make this page (`python -m tests.conformance.table`), so it says
what was seen. All rows are tried with a small LoRA; those marked **all** with every technique, and
some with techniques that are named.
"""

_FORMS = """\
## Forms of the command line

`tests/commands/test_one_truth.py` hands these to `sdtune check` and to `sdtune fit`, which must
agree. They are the forms that LightningCLI's documentation shows: nested keys, class names short
and long, lists that are replaced and appended to, values as YAML, files of parts.
"""


def page() -> str:
    """Word the table as Markdown."""
    parts = [
        _HEAD,
        _section("Options of the Trainer", TRAINER_ROWS),
        _section("Callbacks", CALLBACK_ROWS),
        _section("Loggers", LOGGER_ROWS),
        _FORMS,
        "Accepted:\n\n" + _calls(each for each in [*GOOD, *MORE_GOOD] if each),
        "Refused, with exit code 2 and no run folder:\n\n"
        + _calls([*BAD, *MORE_BAD, *OF_TECHNIQUES, *MORE_OF_TECHNIQUES]),
    ]
    return "\n".join(parts)


def _section(title: str, rows: Iterable[Row]) -> str:
    lines = [f"## {title}", "", "| option | value | | with | what was checked, or is said |"]
    lines.append("|---|---|---|---|---|")
    for row in rows:
        tried = {"not tried here": ""}.get(row.verdict, _tried_with(row))
        what = f"“{row.what}”" if row.verdict == "refused" else row.what
        cells = (f"`{row.option}`", f"`{row.value}`", row.verdict, tried, what)
        lines.append("| " + " | ".join(each.replace("|", "\\|") for each in cells) + " |")
    return "\n".join(lines) + "\n"


def _tried_with(row: Row) -> str:
    return "**all**" if row.techniques == ALL else ", ".join(("LoRA", *row.techniques))


def _calls(calls: Iterable[str]) -> str:
    return "".join(f"- `{each}`\n" for each in calls)


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
