"""TensorBoard's HPARAMS tab: each run's arguments beside the losses and scores it reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.tensorboard.summary import hparams

__all__ = ["Hyperparameters", "LogsMetrics"]


@runtime_checkable
class LogsMetrics(Protocol):
    """A callback that logs curves of its own."""

    @property
    def metric_tags(self) -> Sequence[str]:
        """The tags of the curves, such as `eval/clip_score`."""
        ...


class Hyperparameters(Callback):
    """Fill TensorBoard's table of runs with arguments and with the latest value of some curves.

    Lightning writes a constant called `hp_metric` instead, unless its logger is made with
    `default_hp_metric=False`, and values of ours only by adding false points to their curves.

    Args:
        metrics: Tags of the curves. Those of callbacks that log curves of their own, such as the
            scores of an `EvaluationCallback`, stand before them.

    Raises:
        ValueError: If there are none.
    """

    def __init__(self, metrics: Sequence[str] = ("val/loss", "train/loss")) -> None:
        super().__init__()
        if isinstance(metrics, str) or not metrics:
            raise ValueError(f"Expected `metrics` to be a list of tags, but got {metrics!r}.")
        self.metrics = list(metrics)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the technique's name, and the arguments of the module and of the data."""
        data = getattr(trainer, "datamodule", None)
        named = {"model": pl_module.hparams, "data": getattr(data, "hparams", {})}
        arguments = {"technique": type(pl_module).__name__, **dict(_flat(named))}
        if not trainer.is_global_zero:
            return
        logging = [each for each in trainer.callbacks if isinstance(each, LogsMetrics)]  # type: ignore[attr-defined]
        tags = [tag for each in logging for tag in each.metric_tags] + self.metrics
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                writer = logger.experiment._get_file_writer()
                for summary in hparams(arguments, dict.fromkeys(tags, 0.0)):
                    writer.add_summary(summary)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if key.startswith("_"):
            continue  # what Lightning's command line notes for itself
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, bool | int | float | str):
            yield f"{prefix}{key}", value
        else:
            yield f"{prefix}{key}", str(value)  # the tab knows numbers and text only
