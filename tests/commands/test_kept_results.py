from pathlib import Path

import pytest
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from sdtune import AdapterCheckpoint, LoRAStyleModule, ResumeCheckpoint
from sdtune.commands.kept_results import keep_results


@pytest.mark.parametrize(
    ("callbacks", "said"),
    [
        ([AdapterCheckpoint(), ResumeCheckpoint()], []),
        ([AdapterCheckpoint()], ["The run cannot be resumed: `trainer.callbacks` names no sdt"]),
        (
            [ModelCheckpoint()],
            ["The adapter is written too, after", "The run can be resumed by a file of Lightning"],
        ),
    ],
)
def test_what_a_recipe_lacks_is_said(
    callbacks: list[Callback], said: list[str], tmp_path: Path
) -> None:
    has_files = any(isinstance(each, ModelCheckpoint) for each in callbacks)
    trainer = Trainer(
        callbacks=list(callbacks),
        default_root_dir=tmp_path,
        logger=False,
        accelerator="cpu",
        enable_checkpointing=has_files,
    )
    notes = keep_results(trainer, LoRAStyleModule("nano"))
    assert len(notes) == len(said)
    assert all(note.startswith(each) for note, each in zip(notes, said, strict=True))
    assert sum(isinstance(each, AdapterCheckpoint) for each in trainer.callbacks) == 1


def test_a_module_of_lightning_s_is_left_alone(tmp_path: Path) -> None:
    trainer = Trainer(logger=False, accelerator="cpu", default_root_dir=tmp_path)
    before = list(trainer.callbacks)
    assert keep_results(trainer, LightningModule()) == []
    assert trainer.callbacks == before
