from __future__ import annotations

import logging

from sdtune.files.library_messages import dropped_messages


def test_only_the_messages_that_hold_the_text_are_dropped_and_only_inside(caplog) -> None:
    log = logging.getLogger("a.reader")
    with caplog.at_level(logging.INFO), dropped_messages("misleads", loggers=["a.reader"]):
        log.info("this misleads")
        log.info("this helps")
    with caplog.at_level(logging.INFO):
        log.info("this misleads again")
    assert caplog.messages == ["this helps", "this misleads again"]
