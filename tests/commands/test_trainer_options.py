import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringDataModule

from sdtune.commands.trainer_options import interval_problems


def problems(**options) -> list[str]:
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, **options)
    return interval_problems(trainer, BoringDataModule())


@pytest.mark.parametrize(
    "options",
    [
        {"val_check_interval": 64},
        {"val_check_interval": 65, "check_val_every_n_epoch": None},
        {"val_check_interval": 65, "limit_val_batches": 0},
        {"val_check_interval": 0.5},
        {"val_check_interval": 32, "limit_train_batches": 0.5},
        {"val_check_interval": "00:00:01:00"},
        {"fast_dev_run": True, "val_check_interval": 65},
    ],
)
def test_an_interval_that_comes_is_accepted(options):
    assert problems(**options) == []


@pytest.mark.parametrize(
    ("options", "batches"),
    [
        ({"val_check_interval": 65}, 64),
        ({"val_check_interval": 33, "limit_train_batches": 0.5}, 32),
        ({"val_check_interval": 3, "limit_train_batches": 2}, 2),
        ({"val_check_interval": 33, "devices": 2, "strategy": "ddp"}, 32),
    ],
)
def test_an_interval_that_never_comes_is_refused(options, batches):
    [problem] = problems(**options)
    assert f"at most the {batches} batches of an epoch, but got" in problem
