"""Which runs are done, in which order: the most telling first."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.subject_front.split import SUBJECTS, subjects_of

__all__ = ["PLAN", "Planned"]

Planned = tuple[str, str, int]
"""Arm, subject and seed of the training."""

_DREAMBOOTH = ("db_recipe", "db_script_1e-3", "db_both")
_NEAREST = ("db_both_1e-3", "db_both_dropout", "db_captions")
_WORDS = ("ti_recipe", "ti_script_5e-3", "pt_recipe", "pt_no_prior")
_RATES = ("db_script_1e-3_text", "db_script_2e-3", "ti_script_5e-4")
_CANDIDATES = (
    "db_both_5e-4", "ti_3", "ti_2e-3", "pt_5e-4", "db_many", "db_script_1e-3_captions",
    "db_both_text_5e-4", "pt_dropout",
)  # fmt: skip
_ALONE = ("db_alone", "ti_alone", "pt_alone")
_FURTHER = (
    "db_1e-3", "db_both_flip", "db_both_300", "db_both_prior_0.3", "db_both_attention",
    "db_both_text_off", "ti_1", "ti_dropout", "db_both_rank_4", "db_prior_0", "ti_2e-2", "pt_2e-3",
    "pt_prior_0.3", "pt_200",
)  # fmt: skip
_LAST = ("db_script_2e-3_text", "db_script_1e-4", "db_script_1e-4_text")


def _planned() -> Iterator[Planned]:
    """List the runs. What is chosen is chosen on the tuning side, and told of the other."""
    every, tuning, held_out = tuple(SUBJECTS), subjects_of("tuning"), subjects_of("held_out")
    for arms, subjects, seed in (
        (_DREAMBOOTH, every, 42),
        (_NEAREST, tuning, 42),
        (_WORDS, every, 42),
        (_RATES, every, 42),
        (_CANDIDATES, tuning, 42),
        (_NEAREST, held_out, 42),
        (_ALONE, every, 42),
        (_FURTHER, tuning, 42),
        ((*_DREAMBOOTH, *_WORDS), every, 43),
        (_CANDIDATES, held_out, 42),
        (_LAST, every, 42),
        (_FURTHER, held_out, 42),
    ):
        for arm in arms:
            for subject in subjects:
                yield arm, subject, seed


PLAN: tuple[Planned, ...] = tuple(_planned())
