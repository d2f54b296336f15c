"""Library messages that would mislead somebody who fine-tunes an adapter."""

import logging
import warnings

__all__ = ["quiet_misleading_messages"]

_ALWAYS = (
    r".*isinstance\(treespec, LeafSpec\)",  # between Lightning and torch
    r".*Checkpoint directory .* exists and is not empty",  # that is what a resumed run is for
    r".*module\(s\) in eval mode at the start of training",  # the frozen base is meant to be
)
_OWN_DATA = (
    r".*resuming from a checkpoint that ended before the epoch ended",  # the order is resumable
    r".*does not have many workers",  # cached latents need none
)


def quiet_misleading_messages(own_data: bool) -> None:
    """Silence the messages that are wrong here, for the rest of the process.

    Args:
        own_data: Whether the data module is sdtune's, whose loaders resume exactly.
    """
    for message in _ALWAYS + (_OWN_DATA if own_data else ()):
        warnings.filterwarnings("ignore", message=message)
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).addFilter(_is_no_advertisement)


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    return "💡 Tip" not in record.getMessage()
