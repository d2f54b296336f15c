import math

import pytest
import torch

from sdtune.techniques.number_watch import NumberWatch

LOST = math.nan


def watched(losses: dict, norms: dict, *, scaled: bool = False) -> NumberWatch:
    """Watch batches of pictures a, b, … and gradients, by step."""
    watch = NumberWatch(scaled)
    for step, values in losses.items():
        names = [chr(ord("a") + n) for n in range(len(values))]
        watch.see_batch(step, names, torch.arange(len(values)) * 10, torch.tensor(values))
        watch.see_gradients(step, [torch.ones(3), torch.full((2, 2), norms.get(step, 1.0))])
    return watch


def test_what_is_finite_is_no_fault_and_is_forgotten():
    watch = watched({1: [0.1, 3e38], 2: [0.2, 0.3]}, {2: 1e37})  # whose squares are not finite
    assert watch.last_step == 2
    assert watch.look() is None
    assert watch.last_step is None


@pytest.mark.parametrize("value", [LOST, math.inf, -math.inf])
def test_the_first_lost_loss_is_named_with_its_picture(value):
    watch = watched({4: [0.1, 0.1], 5: [0.1, value], 6: [LOST, LOST]}, {5: LOST, 6: LOST})
    fault = watch.look()
    assert (fault.step, fault.what, fault.pictures, fault.timesteps) == (5, "loss", ["b"], [10])
    assert fault.losses == pytest.approx([0.1])
    assert "step 5 is not a finite number (b at timestep 10). Other pictures" in fault.sentence()


def test_a_lost_gradient_names_all_pictures_of_its_step():
    fault = watched({1: [0.1] * 6, 2: [0.1] * 6}, {2: math.inf}).look()
    assert (fault.step, fault.what, fault.pictures) == (2, "gradient", list("abcdef"))
    assert "(a at timestep 0, b at timestep 10, c at timestep 20, d at timestep 30 and 2 more)" in (
        fault.sentence()
    )
    assert "gradient_clip_val" in fault.sentence()


def test_a_loss_that_rose_speaks_of_the_rate():
    fault = watched({1: [0.1], 2: [0.4], 3: [2.0], 4: [LOST]}, {}).look()
    assert "risen from 0.1 to 2 before it: the learning rate is likely" in fault.sentence()


def test_steps_that_a_scaler_skips_are_no_faults_unless_all_are():
    watch = watched(
        {n: [0.1] for n in range(1, 50)}, dict.fromkeys(range(1, 50), LOST), scaled=True
    )
    assert watch.look() is None
    watch.see_gradients(50, [torch.tensor([1.0])])
    watch.see_gradients(51, [torch.tensor([LOST])])
    assert watch.look() is None  # one was taken in between
    for step in range(52, 102):
        watch.see_gradients(step, [torch.tensor([LOST])])
    assert watch.look().what == "gradient"
