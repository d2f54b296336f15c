"""Which runs are done, in which order: the most telling first."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.subject_front.split import SUBJECTS, subjects_of

__all__ = ["PLAN", "Planned"]

Planned = tuple[str, str, int]
"""Arm, subject and seed of the training."""

_FIRST = ("db_recipe", "db_script_1e-3", "db_both", "ti_recipe", "ti_script_5e-3", "pt_recipe")
_CANDIDATES = (
    "db_both_1e-3", "db_captions", "db_both_5e-4", "db_both_dropout", "ti_3", "ti_2e-3", "pt_5e-4",
    "db_many", "db_script_1e-3_captions", "db_both_text_5e-4", "pt_dropout",
)  # fmt: skip
_RATES = ("db_script_2e-3", "db_script_1e-4", "ti_script_5e-4")
_ALONE = ("db_alone", "ti_alone", "pt_alone")
_FURTHER = (
    "db_1e-3", "db_both_flip", "db_both_300", "db_both_prior_0.3", "db_both_attention",
    "db_both_text_off", "ti_1", "ti_dropout", "db_both_rank_4", "db_prior_0", "ti_2e-2", "pt_2e-3",
)  # fmt: skip
_TEXT = ("db_script_1e-3_text", "db_script_2e-3_text", "db_script_1e-4_text")


def _planned() -> Iterator[Planned]:
    """List the runs. What is chosen is chosen on the tuning side, and told of the other."""
    every, tuning, held_out = tuple(SUBJECTS), subjects_of("tuning"), subjects_of("held_out")
    for arms, subjects, seed in (
        (_FIRST, every, 42),
        (_CANDIDATES, tuning, 42),
        (_RATES, every, 42),
        (_CANDIDATES, held_out, 42),
        (_ALONE, every, 42),
        (_FURTHER, tuning, 42),
        (_FIRST, every, 43),
        (_TEXT, every, 42),
        (_FURTHER, held_out, 42),
    ):
        for arm in arms:
            for subject in subjects:
                yield arm, subject, seed


PLAN: tuple[Planned, ...] = tuple(_planned())
