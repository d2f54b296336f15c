from types import SimpleNamespace

import pytest
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy

from sdtune.techniques.trainer_problems import trainer_notes, trainer_problems


@pytest.mark.parametrize(("strategy", "count"), [(DDPStrategy, 0), (ModelParallelStrategy, 1)])
def test_a_strategy_that_leaves_the_splitting_to_the_module_is_refused(strategy, count):
    trainer = SimpleNamespace(
        precision="32-true", accumulate_grad_batches=1, callbacks=[], strategy=strategy()
    )
    problems = trainer_problems(trainer)
    assert len(problems) == count
    assert all("adds up no gradients" in each for each in problems)


@pytest.mark.parametrize(
    ("devices", "nodes", "drops", "count"), [(1, 1, True, 0), (2, 1, False, 0), (1, 2, True, 1)]
)
def test_the_masks_of_several_processes_are_told_of(devices, nodes, drops, count):
    trainer = SimpleNamespace(num_devices=devices, num_nodes=nodes)
    notes = trainer_notes(trainer, [SimpleNamespace(drops_inputs=drops)])
    assert len(notes) == count
    assert all(each.startswith("Of `model.dropout` 2 processes draw another") for each in notes)
