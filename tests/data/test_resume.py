import itertools
from contextlib import suppress

import lightning.pytorch as pl
import pytest
import torch

from sdtune.data.style import StyleDataModule


class Recorder(pl.LightningModule):
    """Sees batches and writes down what and when; `fail_at` breaks that batch, counted from 0."""

    def __init__(self, fail_at=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.fail_at = fail_at
        self.seen = []

    def training_step(self, batch, batch_idx):
        loop = self.trainer.fit_loop.epoch_loop
        if loop.total_batch_idx == self.fail_at:
            raise KeyboardInterrupt
        self.seen.append(
            {
                "epoch": self.trainer.current_epoch,
                "batch_idx": batch_idx,
                "step": self.global_step,
                "logged step": loop._batches_that_stepped,
                "index": batch["index"],
                "caption": batch["caption"],
                "pixels": batch["pixel_values"].double().sum((1, 2, 3)).tolist(),
            }
        )
        return self.weight.sum() * 0

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class StopAt(pl.Callback):
    """Writes a checkpoint at the first `moment` after `step` steps, and breaks off."""

    def __init__(self, moment, step, path):
        self.moment, self.step, self.path = moment, step, path
        self.skipped = 0

    def _stop(self, moment, trainer):
        if moment == self.moment and trainer.global_step >= self.step:
            self.skipped -= 1
            if self.skipped >= 0:
                return
            trainer.save_checkpoint(self.path)
            raise KeyboardInterrupt

    def on_train_batch_end(self, trainer, *args):
        is_within = trainer.fit_loop.epoch_loop._should_accumulate()
        self._stop("within a step" if is_within else "batch", trainer)

    def on_validation_end(self, trainer, *args):
        self._stop("validation", trainer)

    def on_train_epoch_end(self, trainer, *args):
        self._stop("epoch", trainer)

    def on_exception(self, trainer, *args):
        if self.moment == "failure":
            trainer.save_checkpoint(self.path)


class Run:
    """One run of 4 epochs of 5 batches, in as many parts as there are stops."""

    def __init__(self, folder, checkpoint, before, *, workers=0, held_out=2, **trainer_options):
        self.folder = folder
        self.before = before
        self.held_out = held_out
        self.checkpoint = checkpoint
        self.workers = workers
        self.options = trainer_options

    def whole(self):
        """What a run without stops sees; one of the same options has often been before."""
        key = repr((self.options, self.workers, self.held_out))
        if key not in self.before:
            self.before[key] = self.part()[0]
        return self.before[key]

    def part(self, resume=False, callback=None, fail_at=None, **changes):
        module = Recorder(fail_at)
        trainer = pl.Trainer(
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            callbacks=[callback] if callback else [],
            **{**self.options, **changes},
        )
        data = StyleDataModule(
            self.folder,
            resolution=8,
            batch_size=2,
            crop="random",
            flip=True,
            caption_dropout=0.3,
            validation_count=self.held_out,
            num_workers=self.workers,
        )
        with suppress(SystemExit):  # what Lightning makes of a KeyboardInterrupt
            trainer.fit(module, data, ckpt_path=self.checkpoint if resume else None)
        return module.seen, trainer

    def in_parts(self, moment, stops):
        seen = []
        for number, stop in enumerate(stops):
            if moment == "max_steps":
                part, trainer = self.part(resume=number > 0, max_steps=stop)
                trainer.save_checkpoint(self.checkpoint)
            else:
                callback = StopAt(moment, stop, self.checkpoint)
                fail_at = stop if moment == "failure" else None
                part, _ = self.part(resume=number > 0, callback=callback, fail_at=fail_at)
            seen += part
        return seen + self.part(resume=True)[0]


LIMITS = {"epochs": {"max_epochs": 4}, "steps": {"max_epochs": -1, "max_steps": 20}}
MOMENTS = ("batch", "validation", "epoch", "failure", "max_steps")
PAIRS = [pair for pair in itertools.product(LIMITS, MOMENTS) if pair != ("epochs", "max_steps")]
STOPS = ((5, 10, 17), (1, 6, 8, 13))


@pytest.fixture(scope="module")
def before():
    return {}


@pytest.fixture
def start(make_folder, tmp_path, before):
    folder = make_folder(12, size=(24, 16))
    return lambda **options: Run(folder, tmp_path / "stopped.ckpt", before, **options)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("limit", "moment"), PAIRS)
@pytest.mark.parametrize("stops", [(7,), (5, 12)], ids=["inside an epoch", "twice"])
def test_a_stopped_run_sees_what_an_uninterrupted_one_sees(start, limit, moment, stops):
    run = start(**LIMITS[limit])
    assert len(run.whole()) == 20
    assert run.in_parts(moment, stops) == run.whole()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("limit", "moment", "stops"),
    [  # each limit with both, and each moment that both limits have
        (limit, moment, STOPS[(list(LIMITS).index(limit) + MOMENTS.index(moment)) % 2])
        for limit, moment in PAIRS
    ],
)
def test_many_stops_with_validation_inside_epochs(start, limit, moment, stops):
    run = start(**LIMITS[limit], val_check_interval=3)
    assert run.in_parts(moment, stops) == run.whole()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("moment", ["batch", "epoch", "max_steps"])
def test_accumulation(start, moment):
    # steps after batches 2, 4 and 5 of each epoch
    run = start(max_steps=12, accumulate_grad_batches=2)
    assert len(run.whole()) == 20
    assert run.in_parts(moment, (3, 7)) == run.whole()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("validation", [{}, {"val_check_interval": 1}], ids=["", "validated"])
@pytest.mark.parametrize("limit", [{"max_steps": 8}, {"max_epochs": 4}], ids=["steps", "epochs"])
@pytest.mark.parametrize(("stop", "seen", "again"), [(0, 2, 2), (1, 4, 1), (4, 12, 2)])
def test_a_step_that_was_stopped_within_is_taken_whole(start, stop, seen, again, limit, validation):
    """Of five batches in an epoch, steps of three and of two: the sum of gradients is lost."""
    run = start(accumulate_grad_batches=3, **limit, **validation)
    assert len(run.whole()) == 20
    stopper = StopAt("within a step", stop, run.checkpoint)
    stopper.skipped = again - 1
    first, _ = run.part(callback=stopper)
    assert len(first) == seen
    resumed, _ = run.part(resume=True)
    assert first[:-again] + resumed == run.whole()


@pytest.mark.parametrize(("overfit_batches", "batches"), [(1, 1), (0.5, 2)])
def test_the_same_batches_are_overfit_in_every_epoch(start, overfit_batches, batches, recwarn):
    run = start(max_steps=6, overfit_batches=overfit_batches, held_out=4)
    uninterrupted, trainer = run.part()
    order = [[0, 1], [2, 3]][:batches]  # of four
    assert [list(each["index"]) for each in uninterrupted] == order * (6 // batches)
    assert trainer.num_val_batches == [1]
    assert not any("turning off" in str(warning.message) for warning in recwarn)
    for moment in ("batch", "epoch", "max_steps"):
        assert run.in_parts(moment, (3,)) == uninterrupted


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_workers_change_nothing(start):
    options = {"max_epochs": 3, "accumulate_grad_batches": 2}
    uninterrupted, _ = start(**options).part()
    assert start(workers=2, **options).in_parts("batch", (7,)) == uninterrupted


@pytest.mark.filterwarnings("ignore")
def test_an_exact_resume_needs_no_warning(start, recwarn):
    run = start(max_epochs=2)
    run.part(callback=StopAt("batch", 3, run.checkpoint))
    recwarn.clear()
    run.part(resume=True)
    assert not any("not resumable" in str(warning.message) for warning in recwarn)


@pytest.mark.filterwarnings("ignore")
def test_other_data_inside_an_epoch_are_refused(start, make_folder):
    run = start(max_steps=20)
    run.part(callback=StopAt("batch", 7, run.checkpoint))
    run.folder = make_folder(13, name="one more")
    with pytest.raises(ValueError, match="samples per epoch to be 10, but got 11"):
        run.part(resume=True)
