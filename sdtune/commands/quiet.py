"""Library messages that would mislead somebody who fine-tunes an adapter."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "quiet_devices",
    "quiet_loader_advice",
    "quiet_misleading_messages",
    "quiet_trainers",
]

_WARNINGS = (
    r".*isinstance\(treespec, LeafSpec\)",  # between Lightning and torch
    r".*Checkpoint directory .* exists and is not empty",  # that is what a resumed run is for
    r".*module\(s\) in eval mode at the start of training",  # the frozen base is meant to be
    r".*using the WeightAveraging callback with a model that overrides",  # it is not sharded
    r".*have overridden `on_before_batch_transfer` in `LightningModule`",  # as meant
)
_LOADER_ADVICE = (
    r".*resuming from a checkpoint that ended before the epoch ended",  # the order is resumable
    r".*does not have many workers",  # cached latents need none
    r".*Total length of `list` across ranks is zero",  # no validation was asked for
)
_RANK_ZERO = "lightning.pytorch.utilities.rank_zero"
_LOGS = (
    ("bitsandbytes.backends.cpu.ops", "kernels-community"),  # its products are not used
    ("diffusers.models.modeling_utils", "should be kept in float32: []"),  # an empty list
    ("lightning.fabric.utilities.rank_zero", "💡 Tip"),
    (_RANK_ZERO, "💡 Tip"),
    (_RANK_ZERO, "TPU available: False"),  # nobody has one
    ("transformers.utils.import_utils", "requires torchvision"),  # nothing here needs it
)


def quiet_misleading_messages() -> None:
    """Silence the messages that are wrong here, for the rest of the process."""
    for message in _WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    for name, part in _LOGS:
        logging.getLogger(name).addFilter(_Without(part))


def quiet_loader_advice() -> None:
    """Silence advice on data loaders that is wrong for sdtune's own, which resume exactly."""
    for message in _LOADER_ADVICE:
        warnings.filterwarnings("ignore", message=message)


@contextmanager
def quiet_trainers() -> Iterator[None]:
    """Silence what Trainers and data say of themselves, for a while."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def quiet_devices() -> Iterator[None]:
    """Silence what a Trainer says of the machine, for a while: one that shall not train."""
    logger = logging.getLogger(_RANK_ZERO)
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


class _Without(logging.Filter):
    """Let every record pass but those that hold a text."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part

    def filter(self, record: logging.LogRecord) -> bool:
        return self.part not in record.getMessage()
