from types import SimpleNamespace

import pytest
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy

from sdtune.techniques.trainer_problems import trainer_problems


@pytest.mark.parametrize(("strategy", "count"), [(DDPStrategy, 0), (ModelParallelStrategy, 1)])
def test_a_strategy_that_leaves_the_splitting_to_the_module_is_refused(strategy, count):
    trainer = SimpleNamespace(
        precision="32-true", accumulate_grad_batches=1, callbacks=[], strategy=strategy()
    )
    problems = trainer_problems(trainer)
    assert len(problems) == count
    assert all("adds up no gradients" in each for each in problems)
