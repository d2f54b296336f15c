from types import SimpleNamespace

import pytest
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy

from sdtune.data.style import StyleDataModule
from sdtune.techniques.lora_style import LoRAStyleModule
from sdtune.techniques.trainer_problems import trainer_notes, trainer_problems
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer


@pytest.mark.parametrize(("strategy", "count"), [(DDPStrategy, 0), (ModelParallelStrategy, 1)])
def test_a_strategy_that_leaves_the_splitting_to_the_module_is_refused(strategy, count):
    trainer = SimpleNamespace(
        precision="32-true",
        accumulate_grad_batches=1,
        callbacks=[],
        strategy=strategy(),
        state=SimpleNamespace(fn=None),
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


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_what_only_training_needs_is_asked_where_it_trains(micro_sd, tmp_path, schedule):
    folder = make_picture_folder(tmp_path / "discs", count=4)
    data = StyleDataModule(folder, resolution=64, validation_count=2)
    module = LoRAStyleModule(str(micro_sd), rank=2, lr_schedule=schedule, roll_backs=1)
    averaging = EMAWeightAveraging()
    [found] = quiet_trainer(max_steps=-1, callbacks=[averaging]).validate(
        module, data, verbose=False
    )
    assert found["val/loss"] > 0
    asked = quiet_trainer(max_steps=-1, callbacks=[averaging])  # as `sdtune check` asks it
    told = "".join(module.problems_with_trainer(asked)).replace("`", "")
    assert "model.roll_backs to be 0" in told
    assert f"say where lr_schedule {schedule} ends" in told
    with pytest.raises(ValueError, match="ends"):
        quiet_trainer(max_steps=-1, max_epochs=-1).fit(module, data)
