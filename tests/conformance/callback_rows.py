"""Each stock callback of Lightning, and each stock logger."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import lightning.pytorch.callbacks as stock
import lightning.pytorch.loggers as loggers

from tests.conformance import callback_checks as its
from tests.conformance.checks import same
from tests.conformance.row import Arguments, Row
from tests.conformance.trainer_checks import checkpoints_resume, stops_early

__all__ = ["CALLBACK_ROWS", "LOGGER_ROWS"]

_SAME = "what is learned is the same to the last bit as without it"
_BASE = "a base class, whose hooks do nothing"


def _row(name: str, value: str, what: str, make: Any, check: Any, **more: Any) -> Row:
    def arguments() -> Arguments:
        return {"callbacks": [make()]}

    return Row(name, value, what, arguments, check, **more)


def _refused(name: str, value: str, sentence: str, make: Any, words: tuple[str, ...]) -> Row:
    return _row(name, value, sentence, make, None, verdict="refused", words=words)


def _logger(name: str, value: str, what: str, make: Any, check: Any, **more: Any) -> Row:
    return Row(name, value, what, lambda: {"logger": make()}, check, **more)


def _words(name: str, *options: str) -> tuple[str, ...]:
    return f"--trainer.callbacks+={name}", *(f"--trainer.callbacks.{each}" for each in options)


_FREEZES = "Expected `trainer.callbacks` to hold no {}, which looks for layers before the model"

CALLBACK_ROWS = (
    _row("Callback", "Callback()", f"{_BASE}; {_SAME}", stock.Callback, same,
         techniques=("dora", "multi_concept")),
    _row("Checkpoint", "Checkpoint()", f"{_BASE}; {_SAME}", stock.Checkpoint,
         its.same_with_checkpoints),
    _row("ProgressBar", "a subclass", "gets the loss to show", its.Bar, its.shows_loss),
    _row("LambdaCallback", "on_train_batch_end=…", "is called with what the step returns",
         its.Losses, its.gets_losses),
    _row("LearningRateMonitor", "'step'", "logs the rate by the name of what learns",
         lambda: stock.LearningRateMonitor("step"), its.logs_rates,
         techniques=("lora_text_encoder", "multi_concept_lora", "pivotal_tuning_text_encoder"),
         words=_words("LearningRateMonitor", "logging_interval=step")),
    _row("ModelCheckpoint", "every_n_train_steps=2", "a checkpoint holds what learns alone, and "
         "resumes to the last bit", stock.Callback, checkpoints_resume,
         techniques=("dreambooth_full", "textual_inversion", "multi_concept_lora"),
         words=_words("ModelCheckpoint", "every_n_train_steps=2")),
    _row("ModelCheckpoint", "monitor='train/loss', save_top_k=1", "keeps the best alone",
         lambda: its.best("own"), its.keeps_best,
         words=_words("ModelCheckpoint", "monitor=train/loss")),
    _row("OnExceptionCheckpoint", "dirpath", "writes a checkpoint of what learns, which resumes",
         lambda: stock.OnExceptionCheckpoint("own"), its.keeps_on_exception,
         words=_words("OnExceptionCheckpoint", "dirpath=own")),
    _row("EarlyStopping", "monitor='train/loss'", "stops once it does not fall",
         lambda: its.stopping("train/loss"), its.stops_after(2),
         techniques=("dora", "textual_inversion"),
         words=_words("EarlyStopping", "monitor=train/loss")),
    _row("EarlyStopping", "monitor='val/loss'", "stops once it does not fall",
         lambda: its.stopping("val/loss"), its.stops_after(2),
         words=_words("EarlyStopping", "monitor=val/loss")),
    _row("EarlyStopping", "monitor='train/los'", "says which quantities there are",
         lambda: its.stopping("train/los"), its.names_quantities, words=()),
    _row("Timer", "duration of a millisecond", "stops before the epoch ends",
         lambda: stock.Timer(timedelta(milliseconds=1)), stops_early,
         techniques=("dreambooth", "pivotal_tuning"),
         words=_words("Timer", "duration={milliseconds: 1}")),
    _row("GradientAccumulationScheduler", "{0: 1, 1: 2}", "takes four steps, then two",
         lambda: stock.GradientAccumulationScheduler({0: 1, 1: 2}), its.accumulates_later,
         words=_words("GradientAccumulationScheduler", "scheduling={0: 1, 1: 2}")),
    _row("LearningRateFinder", "num_training_steps=14", "sets `learning_rate`, and trains from "
         "the first weights with it; refused beside class pictures, which are drawn later",
         lambda: stock.LearningRateFinder(num_training_steps=14),
         its.finds_rate, techniques=("textual_inversion", "pivotal_tuning", "multi_concept"),
         slow=True, words=_words("LearningRateFinder", "num_training_steps=14")),
    _row("BatchSizeFinder", "max_trials=1", "sets `batch_size`, and trains from the first "
         "weights with it; refused beside class pictures", its.sizes,
         its.finds_batch_size, techniques=("lora_text_encoder", "multi_concept_lora", "dreambooth"),
         slow=True, words=_words("BatchSizeFinder", "max_trials=1")),
    _row("EMAWeightAveraging", "decay=0.5", "what is learned is the average, and a checkpoint "
         "resumes; see tests/techniques/test_averaged_weights.py",
         lambda: stock.EMAWeightAveraging(decay=0.5), its.averages(0.5),
         techniques=("dropout", "dreambooth", "pivotal_tuning_text_encoder"),
         words=_words("EMAWeightAveraging", "decay=0.5")),
    _row("WeightAveraging", "WeightAveraging()", "what is learned is the mean",
         stock.WeightAveraging, its.averages(None), words=_words("WeightAveraging")),
    _row("DeviceStatsMonitor", "cpu_stats=True", f"logs the CPU's load; {_SAME}",
         lambda: stock.DeviceStatsMonitor(True), its.logs("DeviceStatsMonitor"), needs="psutil",
         words=_words("DeviceStatsMonitor", "cpu_stats=true")),
    _row("ThroughputMonitor", "batch_size_fn", f"logs pictures a second; {_SAME}",
         its.throughput, its.logs("samples_per_sec"), words=()),
    _row("SpikeDetection", "SpikeDetection()", "is handed each loss, and stops at one that is not "
         "finite; a run with it cannot be resumed: Lightning 2.6 fails to read its state",
         stock.SpikeDetection, its.detects_spikes,
         words=_words("SpikeDetection")),
    _row("ModelSummary", "max_depth=2", _SAME, lambda: stock.ModelSummary(2), same,
         words=_words("ModelSummary", "max_depth=2")),
    _row("RichModelSummary", "RichModelSummary()", _SAME, stock.RichModelSummary, same,
         needs="rich", words=_words("RichModelSummary")),
    _row("RichProgressBar", "RichProgressBar()", _SAME, stock.RichProgressBar, its.with_bar,
         needs="rich", words=_words("RichProgressBar")),
    _row("TQDMProgressBar", "refresh_rate=2", _SAME, lambda: stock.TQDMProgressBar(2),
         its.with_bar, words=_words("TQDMProgressBar", "refresh_rate=2")),
    _row("BasePredictionWriter", "a subclass", f"there is nothing to predict; {_SAME}",
         lambda: stock.BasePredictionWriter("epoch"), same),
    _refused("BaseFinetuning", "a subclass", _FREEZES.format("Freezing"), its.Freezing,
             ("--trainer.callbacks+=tests.conformance.callback_checks.Freezing",)),
    _refused("BackboneFinetuning", "BackboneFinetuning()", _FREEZES.format("BackboneFinetuning"),
             stock.BackboneFinetuning, _words("BackboneFinetuning")),
    _refused("ModelPruning", "'l1_unstructured'", _FREEZES.format("ModelPruning"),
             lambda: stock.ModelPruning("l1_unstructured"),
             _words("ModelPruning", "pruning_fn=l1_unstructured")),
    _refused("StochasticWeightAveraging", "swa_lrs=0.01",
             "Expected `trainer.callbacks` to hold no StochasticWeightAveraging",
             lambda: stock.StochasticWeightAveraging(1e-2),
             _words("StochasticWeightAveraging", "swa_lrs=0.01")),
)  # fmt: skip


def _absent(name: str, package: str) -> Row:
    why = f"{package} is not installed, and it talks to a server; without the package Lightning "
    return Row(name, f"{name}(…)", f"{why}refuses it by name", verdict="not tried here",
               words=(f"--trainer.logger={name}",), needs=f"no {package}")  # fmt: skip


LOGGER_ROWS = (
    _logger("Logger", "a subclass", "gets the losses and the arguments", its.Memory,
            its.gets_metrics),
    _logger("CSVLogger", "save_dir", "metrics.csv has each loss, hparams.yaml the arguments",
            lambda: loggers.CSVLogger("own"), its.writes_csv,
            words=("--trainer.logger=CSVLogger", "--trainer.logger.save_dir=own")),
    _logger("TensorBoardLogger", "save_dir", "the events have each loss",
            lambda: loggers.TensorBoardLogger("own"), its.writes_events,
            words=("--trainer.logger=TensorBoardLogger", "--trainer.logger.save_dir=own")),
    _absent("CometLogger", "comet_ml"),
    _absent("LitLogger", "litlogger"),
    _absent("MLFlowLogger", "mlflow"),
    _absent("WandbLogger", "wandb"),
)  # fmt: skip
