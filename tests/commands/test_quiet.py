import logging
import warnings

import pytest

from sdtune.commands.quiet import quiet_misleading_messages

WORKERS = "The 'train_dataloader' does not have many workers which may be a bottleneck."
ADVERTISER = "lightning.pytorch.utilities.rank_zero"


def heard(message: str, own_data: bool) -> bool:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quiet_misleading_messages(own_data)
        warnings.warn(message, stacklevel=1)
    return bool(caught)


def test_loader_advice_is_quiet_for_our_own_data_alone():
    assert not heard(WORKERS, own_data=True)
    assert heard(WORKERS, own_data=False)


def test_other_warnings_are_heard():
    assert heard("The loss is nan.", own_data=True)


def test_advertisements_are_quiet(caplog: pytest.LogCaptureFixture):
    quiet_misleading_messages(own_data=True)
    with caplog.at_level(logging.INFO, logger=ADVERTISER):
        logging.getLogger(ADVERTISER).info("💡 Tip: try our cloud")
        logging.getLogger(ADVERTISER).info("GPU available: False")
    assert caplog.messages == ["GPU available: False"]
