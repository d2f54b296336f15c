"""Each parameter of `lightning.pytorch.Trainer`, with the values that matter."""

from __future__ import annotations

import lightning.pytorch as pl
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins import (
    AsyncCheckpointIO,
    DoublePrecision,
    HalfPrecision,
    MixedPrecision,
    TorchCheckpointIO,
    TorchSyncBatchNorm,
)
from lightning.pytorch.profilers import AdvancedProfiler, PassThroughProfiler, SimpleProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy

from tests.conformance import trainer_checks as its
from tests.conformance.checks import clips, same, takes, trains, validates_at
from tests.conformance.row import ALL, Row

__all__ = ["TRAINER_ROWS"]

_SAME = "what is learned is the same to the last bit as without it"
_NO_GPU = "the tests run without a GPU"
_PRECISION = "Expected `trainer.precision` to be one of"


def _refused(
    option: str, value: str, sentence: str, arguments: object = None, **more: object
) -> Row:
    return Row(option, value, sentence, arguments or {}, verdict="refused", **more)  # type: ignore[arg-type]


def _untried(option: str, value: str, why: str) -> Row:
    return Row(option, value, why, verdict="not tried here")


_STOP_AT_ONCE = {"monitor": "train/loss", "patience": 1, "min_delta": 1e9}


def _stopping() -> EarlyStopping:
    return EarlyStopping(**_STOP_AT_ONCE, check_on_train_epoch_end=True)


_HARDWARE = (
    Row("accelerator", "'cpu'", _SAME, {"accelerator": "cpu"}, same),
    Row("accelerator", "'auto'", "trains on what there is", {"accelerator": "auto"}, trains),
    _refused("accelerator", "'none'", "invalid accelerator name", {"accelerator": "none"}),
    _untried("accelerator", "'gpu', 'cuda'", _NO_GPU),
    _untried("accelerator", "'tpu'", "there is no TPU"),
    _untried("accelerator", "'mps'", "there is no Apple silicon"),
    Row("strategy", "'auto'", _SAME, {"strategy": "auto"}, same),
    Row("strategy", "'single_device'", _SAME, lambda: {"strategy": SingleDeviceStrategy("cpu")},
        same, words=("--trainer.strategy=SingleDeviceStrategy", "--trainer.strategy.device=cpu")),
    Row("strategy", "'ddp_fork'", "two processes share an epoch and learn the same",
        {"strategy": "ddp_fork", "devices": 2}, its.two_processes, slow=True),
    _untried("strategy", "'ddp'", "tests/commands/test_fit.py starts two processes by the command "
             "line, and holds it"),
    _untried("strategy", "'ddp_spawn', 'ddp_notebook', 'ddp_…_find_unused_parameters_…'",
             "they start DDP in other ways, and `ddp` and `ddp_fork` are tried"),
    _refused("strategy", "'fsdp', 'fsdp_cpu_offload'", "requires a GPU accelerator",
             {"strategy": "fsdp"}),
    _untried("strategy", "'deepspeed', 'deepspeed_stage_…'", "deepspeed is not installed"),
    _untried("strategy", "'xla', 'xla_debug', 'single_xla', 'single_tpu'", "there is no TPU"),
    _refused("strategy", "'dpd'", "invalid strategy name", {"strategy": "dpd"}),
    Row("devices", "1", _SAME, {"devices": 1}, same),
    Row("devices", "'auto'", _SAME, {"devices": "auto"}, same),
    Row("devices", "2", "see `strategy`", {"strategy": "ddp_fork", "devices": 2},
        its.two_processes, slow=True),
    _refused("devices", "0", "is not a valid input", {"devices": 0}),
    _refused("devices", "[0]", "should be an int > 0", {"devices": [0]}),
    Row("num_nodes", "1", _SAME, {"num_nodes": 1}, same),
    _untried("num_nodes", "2", "there is one machine"),
    Row("use_distributed_sampler", "False", _SAME, {"use_distributed_sampler": False}, same),
    Row("use_distributed_sampler", "True", _SAME, {"use_distributed_sampler": True}, same),
    Row("sync_batchnorm", "True", f"{_SAME}: nothing normalises over a batch",
        {"sync_batchnorm": True}, same),
)  # fmt: skip

_PRECISIONS = (
    Row("precision", "None, '32-true', '32', 32", _SAME, {"precision": "32-true"}, same),
    Row("precision", "'bf16-mixed', 'bf16'", "the frozen UNet is bfloat16, what learns float32",
        {"precision": "bf16-mixed"}, its.keeps_adapter_precise, techniques=ALL),
    Row("precision", "'16-mixed'", "as `bf16-mixed`: on a CPU Lightning takes bfloat16, "
        "with a warning", {"precision": "16-mixed"},
        its.keeps_adapter_precise),
    _refused("precision", "'16-true'", _PRECISION, {"precision": "16-true"}),
    _refused("precision", "'bf16-true'", _PRECISION, {"precision": "bf16-true"}, techniques=ALL),
    _refused("precision", "'64-true', 64", _PRECISION, {"precision": "64-true"}),
    _untried("precision", "'transformer-engine', 'transformer-engine-float16'",
             "transformer_engine is not installed"),
    _refused("precision", "17", "Precision 17 is invalid", {"precision": 17}),
    Row("plugins", "LightningEnvironment()", _SAME, lambda: {"plugins": LightningEnvironment()},
        same),
    Row("plugins", "TorchCheckpointIO()", "a checkpoint resumes, to the last bit",
        lambda: {"plugins": [TorchCheckpointIO()]}, its.checkpoints_resume),
    Row("plugins", "AsyncCheckpointIO()", "a checkpoint resumes, to the last bit",
        lambda: {"plugins": [AsyncCheckpointIO()]}, its.checkpoints_resume),
    Row("plugins", "TorchSyncBatchNorm()", _SAME, lambda: {"plugins": [TorchSyncBatchNorm()]},
        same),
    Row("plugins", "MixedPrecision('bf16-mixed', 'cpu')", "as `precision='bf16-mixed'`",
        lambda: {"plugins": [MixedPrecision("bf16-mixed", "cpu")]}, its.keeps_adapter_precise),
    _refused("plugins", "HalfPrecision('bf16-true')", _PRECISION,
             lambda: {"plugins": [HalfPrecision("bf16-true")]}),
    _refused("plugins", "DoublePrecision()", _PRECISION,
             lambda: {"plugins": [DoublePrecision()]}),
    _untried("plugins", "BitsandbytesPrecision(…)", _NO_GPU),
    _untried("plugins", "DeepSpeedPrecision, FSDPPrecision, TransformerEnginePrecision, "
             "XLAPrecision, XLACheckpointIO", "they belong to strategies or packages that are not "
             "tried"),
)  # fmt: skip

_LENGTH = (
    Row("fast_dev_run", "True", "takes one step and leaves no files", {"fast_dev_run": True},
        its.leaves_no_files(1), techniques=("dreambooth", "pivotal_tuning")),
    Row("fast_dev_run", "2", "takes two steps and leaves no files", {"fast_dev_run": 2},
        its.leaves_no_files(2)),
    Row("max_epochs", "2", "takes two epochs", {"max_epochs": 2}, takes(8, epochs=2)),
    Row("max_epochs", "-1", "goes on until `max_steps`", {"max_epochs": -1, "max_steps": 9},
        takes(9, epochs=3)),
    Row("max_steps", "3", "stops within the epoch", {"max_steps": 3}, takes(3)),
    Row("max_steps", "-1", "goes on until `max_epochs`", {"max_steps": -1}, takes(4)),
    _refused("max_steps", "-2", "must be a non-negative integer or -1", {"max_steps": -2}),
    Row("min_epochs", "2", "an EarlyStopping waits for it",
        lambda: {"min_epochs": 2, "max_epochs": 4, "callbacks": _stopping()}, takes(8, epochs=2),
        words=("--trainer.min_epochs=2",)),
    Row("min_steps", "10", "an EarlyStopping waits for it",
        lambda: {"min_steps": 10, "max_epochs": 4, "callbacks": _stopping()},
        its.takes_at_least(10), words=("--trainer.min_steps=10",)),
    Row("max_time", "{'milliseconds': 1}", "stops before the epoch ends, with what was learned",
        {"max_time": {"milliseconds": 1}, "max_epochs": 100}, its.stops_early,
        techniques=("dropout", "dreambooth_full")),
    Row("max_time", "'00:00:00:00'", "takes no step", {"max_time": "00:00:00:00"}, takes(0)),
    Row("limit_train_batches", "2", "takes two batches of an epoch", {"limit_train_batches": 2},
        takes(2)),
    Row("limit_train_batches", "0.5", "takes half the batches", {"limit_train_batches": 0.5},
        takes(2)),
    Row("limit_train_batches", "0", "trains nothing", {"limit_train_batches": 0}, takes(0)),
    Row("limit_val_batches", "1", "validates one batch", {"limit_val_batches": 1},
        validates_at([4])),
    Row("limit_val_batches", "1.0", "validates all batches", {"limit_val_batches": 1.0},
        validates_at([4, 4])),
    Row("limit_val_batches", "0", "validates none", {"limit_val_batches": 0}, validates_at([])),
    Row("limit_test_batches", "1", f"{_SAME}; `trainer.test` is refused by Lightning: no "
        "technique has a `test_step`", {"limit_test_batches": 1}, its.has_no_test),
    Row("limit_predict_batches", "1", f"{_SAME}; `trainer.predict` is refused by Lightning: no "
        "technique has a `forward`", {"limit_predict_batches": 1},
        its.has_no_prediction),
    Row("overfit_batches", "1", "every epoch is the same one batch",
        {"overfit_batches": 1, "max_epochs": 3}, its.overfits(1),
        techniques=("multi_concept", "pivotal_tuning_text_encoder")),
    Row("overfit_batches", "0.5", "every epoch is the same half of the batches",
        {"overfit_batches": 0.5, "max_epochs": 2}, its.overfits(2)),
    Row("reload_dataloaders_every_n_epochs", "1", "the order of the batches stays what it is",
        {"reload_dataloaders_every_n_epochs": 1, "max_epochs": 3}, its.keeps_order),
)  # fmt: skip

_VALIDATION = (
    Row("val_check_interval", "2", "validates after each second batch",
        {"val_check_interval": 2}, validates_at([2, 4])),
    Row("val_check_interval", "0.5", "validates twice an epoch", {"val_check_interval": 0.5},
        validates_at([2, 4])),
    Row("val_check_interval", "'00:00:00:00'", "a time: validates after each batch",
        {"val_check_interval": "00:00:00:00", "check_val_every_n_epoch": None},
        validates_at([1, 2, 3, 4])),
    Row("val_check_interval", "6, check_val_every_n_epoch=None", "counts on over epochs",
        {"val_check_interval": 6, "check_val_every_n_epoch": None, "max_epochs": 3},
        validates_at([6, 12])),
    _refused("val_check_interval", "5, of 4 batches", "must be less than or equal to the number of",
             {"val_check_interval": 5, "limit_val_batches": 1}),
    Row("check_val_every_n_epoch", "2", "validates each second epoch",
        {"check_val_every_n_epoch": 2, "max_epochs": 4}, validates_at([8, 16])),
    Row("num_sanity_val_steps", "1", "validates one batch before training",
        {"num_sanity_val_steps": 1, "limit_val_batches": 1}, validates_at([4], sanity=1)),
    Row("num_sanity_val_steps", "-1", "validates all batches before training",
        {"num_sanity_val_steps": -1, "limit_val_batches": 1.0}, validates_at([4, 4], sanity=2)),
    Row("num_sanity_val_steps", "0", "validates none before training",
        {"num_sanity_val_steps": 0, "limit_val_batches": 1}, validates_at([4])),
    Row("inference_mode", "True", "`trainer.validate` is in torch's inference mode, and training "
        "goes on after it", {"inference_mode": True, "limit_val_batches": 1},
        its.validates_in_mode(True)),
    Row("inference_mode", "False", "`trainer.validate` is not in it, and training goes on after "
        "it", {"inference_mode": False, "limit_val_batches": 1}, its.validates_in_mode(False)),
)  # fmt: skip

_LEARNING = (
    Row("accumulate_grad_batches", "2", "takes half the steps; two batches of one picture learn "
        "what one batch of two does", {"accumulate_grad_batches": 2}, its.accumulates,
        techniques=ALL),
    Row("accumulate_grad_batches", "3, of 4 batches", "the last step of an epoch has one batch",
        {"accumulate_grad_batches": 3, "max_epochs": 2}, takes(4, epochs=2)),
    _refused("accumulate_grad_batches", "0", "Expected `trainer.accumulate_grad_batches` to be a "
             "positive integer, but got 0.", {"accumulate_grad_batches": 0}),
    Row("gradient_clip_val", "1e-4", "no gradient's norm is above it, and it was",
        {"gradient_clip_val": 1e-4}, clips("norms", 1e-4),
        techniques=("dora", "dreambooth_full", "textual_inversion", "pivotal_tuning_text_encoder")),
    Row("gradient_clip_val", "0", _SAME, {"gradient_clip_val": 0}, same),
    _refused("gradient_clip_val", "'much'", "should be an int or a float",
             {"gradient_clip_val": "much"}),
    Row("gradient_clip_algorithm", "'norm'", "as `gradient_clip_val` alone",
        {"gradient_clip_val": 1e-4, "gradient_clip_algorithm": "norm"}, clips("norms", 1e-4)),
    Row("gradient_clip_algorithm", "'value'", "no value in a gradient is above it, and one was",
        {"gradient_clip_val": 1e-5, "gradient_clip_algorithm": "value"}, clips("highest", 1e-5)),
    _refused("gradient_clip_algorithm", "'median'", "is invalid",
             {"gradient_clip_algorithm": "median", "gradient_clip_val": 1.0}),
    Row("deterministic", "True", "torch's deterministic algorithms are on, and what is learned "
        "is the same", {"deterministic": True}, its.is_deterministic),
    Row("deterministic", "'warn'", "likewise", {"deterministic": "warn"}, its.is_deterministic),
    Row("benchmark", "True, False", _SAME, {"benchmark": True}, same),
    Row("detect_anomaly", "True", "torch's anomaly mode is on while training, and what is learned "
        "is the same", {"detect_anomaly": True}, its.detects_anomalies, slow=True),
)  # fmt: skip

_OUTPUT = (
    Row("logger", "None, True", "TensorBoard's events stand in the run folder", {"logger": True},
        its.writes("lightning_logs/version_0/events*")),
    Row("logger", "False", "nothing is written", {"logger": False}, its.leaves_no_files(4)),
    Row("logger", "a logger, a list of them", "see below",
        lambda: {"logger": [CSVLogger("one"), CSVLogger("two")]}, its.logs_to_both, words=(
            "--trainer.logger+=CSVLogger", "--trainer.logger.save_dir=one",
            "--trainer.logger+=CSVLogger", "--trainer.logger.save_dir=two")),
    Row("callbacks", "None, a callback, a list of them", "see below",
        lambda: {"callbacks": pl.Callback()}, same, words=("--trainer.callbacks=null",)),
    Row("log_every_n_steps", "2", "each second step is logged", {"log_every_n_steps": 2},
        its.logs_steps([1, 3])),
    Row("log_every_n_steps", "0", "no step is logged", {"log_every_n_steps": 0},
        its.logs_steps([])),
    Row("enable_checkpointing", "True", "a checkpoint holds what learns alone",
        {"enable_checkpointing": True, "logger": False}, its.writes("checkpoints/*.ckpt")),
    Row("enable_checkpointing", "False", "no checkpoint is written",
        {"enable_checkpointing": False}, its.leaves_no_files(4)),
    Row("enable_progress_bar", "True", "the bar shows the loss", {"enable_progress_bar": True},
        its.shows_progress),
    Row("enable_progress_bar", "False", "there is none", {"enable_progress_bar": False}, same),
    Row("enable_model_summary", "True", _SAME, {"enable_model_summary": True}, same),
    Row("enable_model_summary", "False", _SAME, {"enable_model_summary": False}, same),
    Row("enable_autolog_hparams", "False", "the run's hparams.yaml stays empty",
        lambda: {"enable_autolog_hparams": False, "logger": True}, its.logs_arguments(False),
        words=("--trainer.enable_autolog_hparams=false",)),
    Row("enable_autolog_hparams", "True", "the run's hparams.yaml has the technique's arguments",
        lambda: {"enable_autolog_hparams": True, "logger": True}, its.logs_arguments(True),
        words=("--trainer.enable_autolog_hparams=true",)),
    Row("default_root_dir", "a folder", "everything is written below it",
        lambda: {"logger": True, "enable_checkpointing": True},
        its.writes("lightning_logs/version_0/checkpoints/*.ckpt"),
        words=("--trainer.default_root_dir=x",)),
    Row("profiler", "None, 'simple'", _SAME, {"profiler": "simple"}, same),
    Row("profiler", "SimpleProfiler(…)", "its file names the technique's hooks",
        lambda: {"profiler": SimpleProfiler(dirpath=".", filename="times")},
        its.profiles("fit-times.txt"), words=("--trainer.profiler=SimpleProfiler",
                                              "--trainer.profiler.filename=times")),
    Row("profiler", "'advanced', AdvancedProfiler(…)", "its file names the technique's hooks",
        lambda: {"profiler": AdvancedProfiler(dirpath=".", filename="calls")},
        its.profiles("fit-calls.txt"), words=("--trainer.profiler=advanced",)),
    Row("profiler", "'pytorch'", "writes a trace", {"profiler": "pytorch", "max_steps": 1},
        its.writes("*.pt.trace.json"), slow=True),
    Row("profiler", "PassThroughProfiler()", _SAME, lambda: {"profiler": PassThroughProfiler()},
        same, words=("--trainer.profiler=PassThroughProfiler",)),
    _untried("profiler", "'xla'", "there is no TPU"),
    _refused("profiler", "'smple'", "it can only be one of", {"profiler": "smple"}),
    Row("barebones", "True", f"{_SAME}; nothing is written", {"barebones": True},
        its.leaves_no_files(4)),
    _refused("barebones", "True, logger=True", "Logging can impact raw speed",
             {"barebones": True, "logger": True}, words=()),
    _untried("model_registry", "a name", "it names a model on a hub, and the tests have no "
             "network; litmodels is not installed"),
)  # fmt: skip

TRAINER_ROWS = (*_HARDWARE, *_PRECISIONS, *_LENGTH, *_VALIDATION, *_LEARNING, *_OUTPUT)
