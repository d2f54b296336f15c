from types import SimpleNamespace

import pytest
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy

from sdtune.callbacks.adapter_checkpoint import AdapterCheckpoint
from sdtune.callbacks.evaluation import EvaluationCallback
from sdtune.callbacks.sample_grid import SampleGrid
from tests.callbacks.fake_technique import FakeTechnique


@pytest.mark.parametrize("strategy", [FSDPStrategy, ModelParallelStrategy])
@pytest.mark.parametrize(
    "callback", [AdapterCheckpoint(), EvaluationCallback(["a cat"]), SampleGrid(["a cat"])]
)
def test_a_model_in_parts_is_refused_before_training(strategy, callback):
    name = strategy.__name__
    trainer = SimpleNamespace(strategy=object.__new__(strategy))
    with pytest.raises(ValueError, match=f"{type(callback).__name__} needs, but got {name}"):
        callback.setup(trainer, FakeTechnique(), "fit")
