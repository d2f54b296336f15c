"""The TensorBoard logger of a run, whose hyperparameters are compared by the run's losses."""

from argparse import Namespace
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch.utils.tensorboard.summary import hparams

__all__ = ["RunLogger"]

_COMPARED_BY = ("train/loss", "val/loss")


class RunLogger(TensorBoardLogger):
    """TensorBoard curves and pictures, with a table of hyperparameters against losses.

    Lightning's own table needs a made-up `hp_metric` curve; here its columns are the curves that
    are logged anyway.

    Args:
        save_dir: Folder of all runs.
        name: Name of the recipe.
        version: The run's folder below the name; None takes the next free `version_N`.
    """

    def __init__(self, save_dir: str, name: str, version: str | None = None) -> None:
        super().__init__(save_dir, name=name, version=version, default_hp_metric=False)

    @rank_zero_only
    def log_hyperparams(
        self,
        params: dict[str, Any] | Namespace,
        metrics: dict[str, Any] | None = None,
        step: int | None = None,
    ) -> None:
        """Record hyperparameters, see `TensorBoardLogger.log_hyperparams`."""
        super().log_hyperparams(params, metrics, step)
        if metrics is not None:
            return
        named = params if isinstance(params, dict) else vars(params)
        plain = {
            name: value if isinstance(value, bool | int | float | str) else str(value)
            for name, value in named.items()
        }
        writer = self.experiment._get_file_writer()
        for summary in hparams(plain, dict.fromkeys(_COMPARED_BY, 0)):
            writer.add_summary(summary, step)
