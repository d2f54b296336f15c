import logging
import warnings

import pytest

from sdtune.commands.quiet import quiet_loader_advice, quiet_misleading_messages

LEAF_SPEC = "`isinstance(treespec, LeafSpec)` is deprecated, use another."
WORKERS = "The 'train_dataloader' does not have many workers which may be a bottleneck."
ADVERTISER = "lightning.pytorch.utilities.rank_zero"


def heard(message: str, quiet) -> bool:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quiet()
        warnings.warn(message, stacklevel=1)
    return bool(caught)


def test_misleading_warnings_are_quiet():
    assert not heard(LEAF_SPEC, quiet_misleading_messages)
    assert heard("The loss is nan.", quiet_misleading_messages)


def test_loader_advice_is_a_choice_of_its_own():
    assert heard(WORKERS, quiet_misleading_messages)
    assert not heard(WORKERS, quiet_loader_advice)


def test_advertisements_are_quiet(caplog: pytest.LogCaptureFixture):
    quiet_misleading_messages()
    with caplog.at_level(logging.INFO, logger=ADVERTISER):
        logging.getLogger(ADVERTISER).info("💡 Tip: try our cloud")
        logging.getLogger(ADVERTISER).info("TPU available: False, using: 0 TPU cores")
        logging.getLogger(ADVERTISER).info("GPU available: False")
    assert caplog.messages == ["GPU available: False"]
