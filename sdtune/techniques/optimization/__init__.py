"""Optimizers and learning-rate schedules by name, and what comes with them."""

from sdtune.techniques.optimization.arguments import (
    check_optimization_arguments,
    optimization_problems,
    tell_short_run,
)
from sdtune.techniques.optimization.averaged_weights import AveragedWeightsModule
from sdtune.techniques.optimization.lr_schedules import (
    LRScheduleName,
    begin_schedules,
    build_lr_scheduler,
)
from sdtune.techniques.optimization.optimizers import (
    OptimizerName,
    build_optimizer,
    sets_own_rates,
)
from sdtune.techniques.optimization.parameter_groups import ParameterGroup

__all__ = [
    "AveragedWeightsModule",
    "LRScheduleName",
    "OptimizerName",
    "ParameterGroup",
    "begin_schedules",
    "build_lr_scheduler",
    "build_optimizer",
    "check_optimization_arguments",
    "optimization_problems",
    "sets_own_rates",
    "tell_short_run",
]
