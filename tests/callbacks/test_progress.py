import logging
import math
import re
import sys
import time

import pytest
import torch
from lightning.pytorch.callbacks import Callback, GradientAccumulationScheduler, ModelSummary
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from sdtune.callbacks import progress
from sdtune.callbacks.progress import Progress
from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from tests.callbacks.fake_technique import FakeData, FakeTechnique, make_trainer

LINE = re.compile(r"step (\d+)/(\d+): loss \d+\.\d{4}, \d+\.\d images/s, (\d\d:\d\d) left")


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by a second each time it is read."""

    class Clock:
        now = 0.0

        def monotonic(self):
            self.now += 1.0
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def lines(caplog):
    return [match.groups() for match in map(LINE.search, caplog.messages) if match]


def test_a_log_gets_a_line_now_and_then(tmp_path, caplog, clock, capsys):
    with caplog.at_level(logging.INFO, logger="lightning.pytorch"):
        bar = Progress(seconds_between_lines=5.0)
        make_trainer(tmp_path, bar, max_steps=12).fit(FakeTechnique(), FakeData())
    assert lines(caplog) == [
        ("1", "12", "00:11"), ("6", "12", "00:06"), ("11", "12", "00:01"), ("12", "12", "00:00"),
    ]  # fmt: skip
    assert "\r" not in capsys.readouterr().out
    assert bar.images_per_second == 2.0


def test_a_terminal_gets_one_bar_over_all_epochs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_is_interactive", lambda: True)
    monkeypatch.setattr(progress, "_REDRAWS_PER_SECOND", 1e9)
    make_trainer(tmp_path, Progress(), max_steps=12).fit(FakeTechnique(), FakeData())
    out = capsys.readouterr().out
    last = re.split(r"[\r\n]+", out.strip())[-1]
    assert re.search(
        r"Training 100%\|█+\| 12/12 \[00:\d\d, loss=\d\.\d+, images/s=[\d.]+, left=00:00\]", last
    )
    assert "Epoch" not in out
    assert "Validation" not in out


class Talk(Callback):
    """Logs in the middle of training."""

    def on_train_batch_end(self, *_):
        rank_zero_info("Sampled 1 picture.")


def test_what_is_logged_stands_above_the_bar(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_is_interactive", lambda: True)
    monkeypatch.setattr(progress, "_REDRAWS_PER_SECOND", 1e9)
    logger = logging.getLogger("lightning.pytorch")
    handler = logging.StreamHandler(sys.stderr)
    monkeypatch.setattr(logger, "handlers", [handler])
    make_trainer(tmp_path, Progress(), Talk(), max_steps=3).fit(FakeTechnique(), FakeData())
    assert logger.handlers == [handler]
    out, err = capsys.readouterr()
    assert err.count("Sampled 1 picture.\n") == 3
    # the bar is wiped away before each, and drawn again after it
    assert len(re.findall(r"\r +\r", out)) >= 3


def test_how_much_learns_is_said_and_the_modules_are_not(tmp_path, caplog, capsys):
    with caplog.at_level(logging.INFO, logger="lightning.pytorch"):
        trainer = make_trainer(tmp_path, Progress(), ModelSummary(), max_steps=1)
        trainer.fit(FakeTechnique(), FakeData())
    assert any(re.fullmatch(r"\d+ parameters learn, of \d+\.", each) for each in caplog.messages)
    assert "Trainable params" not in capsys.readouterr().out + caplog.text


def test_numbers_are_written_shortly():
    amounts = (7, 1_234, 1_090_000, 860_000_000, 2_570_000_000)
    assert [progress._amount(each) for each in amounts] == [
        "7", "1.23 k", "1.09 M", "860 M", "2.57 G",
    ]  # fmt: skip


def test_a_resumed_run_starts_where_it_was(tmp_path, caplog, clock):
    make_trainer(tmp_path, ResumeCheckpoint(2), max_steps=4).fit(FakeTechnique(), FakeData())
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    trainer = make_trainer(tmp_path, Progress(), max_steps=8)
    with caplog.at_level(logging.INFO, logger="lightning.pytorch"):
        trainer.fit(FakeTechnique(), FakeData(), ckpt_path=checkpoint)
    assert lines(caplog) == [("5", "8", "00:03"), ("8", "8", "00:00")]


def test_the_loss_is_an_unbiased_moving_average():
    class Trainer:
        world_size = 1
        accumulate_grad_batches = 2

    bar = Progress(smoothing=0.5)
    assert math.isnan(bar.loss)
    for value in (1.0, 2.0, 6.0):
        bar._count(Trainer(), {"loss": torch.tensor(value)}, {"caption": ["a", "b"]})
    assert bar.loss == pytest.approx(2 * (1 * 0.125 + 2 * 0.25 + 6 * 0.5) / 0.875)


def test_a_pause_does_not_show_in_the_rate_but_in_the_time_left(tmp_path, clock):
    class Pausing(FakeTechnique):
        def on_train_batch_start(self, batch, batch_idx):
            clock.now += 60.0 * (batch_idx == 2)

    bar = Progress()
    make_trainer(tmp_path, bar, max_steps=4).fit(Pausing(), FakeData())
    assert bar.images_per_second == 2.0
    assert bar.seconds_left(2) == 64.0


@pytest.mark.parametrize(("max_steps", "max_epochs", "total"), [(-1, 3, 15), (7, -1, 7)])
def test_the_last_step_is_known_from_epochs_too(tmp_path, max_steps, max_epochs, total):
    bar = Progress()
    trainer = make_trainer(tmp_path, bar, max_steps=max_steps, max_epochs=max_epochs)
    trainer.fit(FakeTechnique(), FakeData())
    assert bar._total == total


def test_the_last_step_is_known_where_accumulation_changes(tmp_path):
    bar, schedule = Progress(), GradientAccumulationScheduler({1: 5})
    trainer = make_trainer(tmp_path, bar, schedule, max_steps=-1, max_epochs=3)
    trainer.fit(FakeTechnique(), FakeData())
    assert bar._total == trainer.global_step == 5 + 1 + 1


def test_the_display_can_be_switched_off(tmp_path, caplog, capsys):
    with caplog.at_level(logging.INFO, logger="lightning.pytorch"):
        trainer = make_trainer(tmp_path, Progress(refresh_rate=0))
        trainer.fit(FakeTechnique(), FakeData())
    assert lines(caplog) == []


def test_a_pipe_is_no_terminal(monkeypatch):
    monkeypatch.delattr(sys, "ps1", raising=False)
    assert not progress._is_interactive()


@pytest.mark.parametrize(
    "arguments", [{"refresh_rate": -1}, {"seconds_between_lines": 0.0}, {"smoothing": 1.0}]
)
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` to be"):
        Progress(**arguments)


def test_waiting_for_data_is_logged_and_shown_where_it_is_much(tmp_path, caplog):
    class Loader(torch.utils.data.DataLoader):
        waited = 0.0

        def __iter__(self):
            for batch in super().__iter__():
                begin = time.monotonic()
                time.sleep(0.05)
                self.waited += time.monotonic() - begin
                yield batch

    class SlowData(FakeData):
        def train_dataloader(self):
            loader = super().train_dataloader()
            return Loader(loader.dataset, loader.batch_size, collate_fn=loader.collate_fn)

    for data, least in ((SlowData(), 0.5), (FakeData(), None)):
        trainer = make_trainer(tmp_path, Progress(seconds_between_lines=1e-9), max_steps=6)
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="lightning.pytorch"):
            trainer.fit(FakeTechnique(), data)
        share = trainer.callback_metrics.get("train/data_wait")
        assert (share is None) is (least is None)
        assert ("% waiting for data" in caplog.text) is (least is not None)
        assert ("Training waited for data for " in caplog.text) is (least is not None)
        assert least is None or least < float(share) <= 1.0
