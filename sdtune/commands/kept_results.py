"""What of a run is kept, whatever callbacks its recipe names, and what is not."""

from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from sdtune.callbacks.adapter_checkpoint import AdapterCheckpoint
from sdtune.callbacks.periodic import is_trial
from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from sdtune.evaluation.technique import is_technique
from sdtune.evaluation.whole_model import splits_model

__all__ = ["keep_results"]

_UNWRITTEN = (
    "The adapter is written too, after each validation, or else each epoch: `trainer.callbacks` "
    "names no sdtune.AdapterCheckpoint."
)
_SPLIT = "No adapter is written, only Lightning's checkpoints: {} splits the model up."
_UNRESUMED = "{}: `trainer.callbacks` names no sdtune.ResumeCheckpoint."
_BY_FILE = "The run can be resumed by a file of Lightning's ModelCheckpoint alone, `--resume FILE`"
_NEVER = "The run cannot be resumed"


def keep_results(trainer: Trainer, model: object) -> list[str]:
    """Let what a technique trains be written, also when other callbacks took the recipe's place.

    Args:
        trainer: The Trainer, which gets what writes the adapter if nothing does.
        model: What it is to train.

    Returns:
        A sentence on what is done beside what the recipe says, and one if the run cannot be gone
        on with: it can still be changed.
    """
    if not is_technique(model):
        return []
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    notes = []
    if not any(isinstance(each, AdapterCheckpoint) for each in callbacks):
        if splits_model(trainer):
            notes.append(_SPLIT.format(type(trainer.strategy).__name__))
        else:
            callbacks.insert(0, AdapterCheckpoint())  # Lightning wants its own checkpoints last
            notes.append(_UNWRITTEN)
    if not is_trial(trainer) and not any(isinstance(each, ResumeCheckpoint) for each in callbacks):
        has_files = any(isinstance(each, ModelCheckpoint) for each in callbacks)
        notes.append(_UNRESUMED.format(_BY_FILE if has_files else _NEVER))
    return notes
