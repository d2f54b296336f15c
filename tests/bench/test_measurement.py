"""A whole measurement, on a model of one block of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sdtune.bench import measurement
from sdtune.bench.measurement import measure
from sdtune.bench.phases import PHASES
from sdtune.bench.record import Row
from sdtune.bench.workloads import TECHNIQUES, Workload
from sdtune.techniques import compiled_module


def workload(base: Path, folder: Path, technique: str = "style_lora") -> Workload:
    return Workload(technique, str(base), 64, 2, 4, 3, False, folder)  # type: ignore[arg-type]


@pytest.fixture(scope="module", autouse=True)
def _few_steps() -> Iterator[None]:
    """Time fewer steps, for no test asks how long they took."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measurement, "_WARM_UP", 1)
        patch.setattr(measurement, "_PER_ROUND", 1)
        yield


@pytest.fixture(scope="module")
def row(micro_sd: Path, tmp_path_factory) -> Row:
    folder = tmp_path_factory.mktemp("bench")
    return measure(workload(micro_sd, folder, "dreambooth"), "32-true", 4, 1e9, name="micro")


@pytest.fixture(scope="module")
def plain(micro_sd: Path, tmp_path_factory) -> tuple[Row, list[bool]]:
    """A row of a LoRA with nothing else said, and whether its channels lay last."""
    with pytest.MonkeyPatch.context() as patch:
        layouts = _seen_layouts(patch)
        begun = workload(micro_sd, tmp_path_factory.mktemp("plain"))
        return measure(begun, "32-true", 2, 1e9, name="micro"), layouts


def _seen_layouts(patch: pytest.MonkeyPatch) -> list[bool]:
    layouts = []

    class Seen(measurement.OperationMeter):
        def begin(self, trainer, module):
            super().begin(trainer, module)
            weight = module.model.unet.conv_in.weight
            layouts.append(weight.is_contiguous(memory_format=torch.channels_last))

    patch.setattr(measurement, "OperationMeter", Seen)
    return layouts


@pytest.mark.slow
def test_shares_of_the_phases_sum_to_one(row):
    assert tuple(row.phases) == PHASES
    assert sum(row.phases.values()) == pytest.approx(1.0)
    assert min(row.phases.values()) >= 0
    assert row.phases["forward"] > 0
    assert row.phases["backward"] > 0
    assert row.phases["encode"] > 0  # its text encoder learns


@pytest.mark.slow
def test_a_row_holds_what_was_trained(row):
    assert row.error is None
    assert (row.batch_size, row.images) == (2, 4)  # as many class pictures
    assert row.flop > 0
    assert row.flop_use == pytest.approx(row.flop / row.seconds.median / 1e9)
    assert row.memory.optimizer > 2 * row.memory.adapter  # two moments, and steps
    assert row.memory.gradients == row.memory.adapter
    assert row.memory.activations > 0
    assert row.operations["dtype_copies"] == 0
    assert (row.gpu, row.gpu_busy) == (None, None)


@pytest.mark.slow
def test_both_other_loops_are_timed(row):
    assert {*row.others} == {"bare", "reference"}
    for each in row.others.values():
        assert 0 < each.ratio.low <= each.ratio.median <= each.ratio.high


@pytest.mark.slow
@pytest.mark.parametrize(
    "technique", sorted({*TECHNIQUES} - {"dreambooth", "style_lora", "pivotal_tuning"})
)
def test_techniques_that_no_other_test_measures_are_measured(technique, micro_sd, tmp_path):
    row = measure(workload(micro_sd, tmp_path, technique), "32-true", 2, 1e9, name="micro")
    assert row.error is None
    others = {"bare"} if technique == "multi_concept" else {"bare", "reference"}
    assert {*row.others} == others


@pytest.mark.slow
def test_stable_diffusion_xl_is_measured(shallow_xl, tmp_path):
    row = measure(workload(shallow_xl, tmp_path, "pivotal_tuning"), "32-true", 2, 1e9, name="xl")
    assert {*row.others} == {"bare", "reference"}


@pytest.mark.slow
def test_half_precision_copies_dtypes_and_channels_lie_first_where_they_shall(
    plain, micro_sd, tmp_path, monkeypatch
):
    layouts = _seen_layouts(monkeypatch)
    begun = replace(workload(micro_sd, tmp_path), channels_last=False)
    row = measure(begun, "bf16-mixed", 2, 1e9, name="micro")
    assert row.operations["dtype_copies"] > 0
    assert {*row.others} == {"bare", "reference"}
    assert (row.channels_last, layouts) == (False, [False])
    assert (plain[0].channels_last, plain[1]) == (True, [True])


@pytest.mark.slow
def test_compiling_is_timed_and_changes_no_count(plain, micro_sd, tmp_path, monkeypatch):
    monkeypatch.setattr(compiled_module, "_BACKEND", "eager")
    begun = replace(workload(micro_sd, tmp_path), compile=True)
    begun = replace(begun, compile_blocks=("BasicTransformerBlock",))
    row = measure(begun, "32-true", 2, 1e9, name="micro")
    assert plain[0].compile_seconds is None
    assert row.compile_seconds > 0
    assert (row.compile, plain[0].compile) == (True, False)
    assert (row.operations, row.flop) == (plain[0].operations, plain[0].flop)


def test_no_room_is_a_row_and_no_error(micro_sd, tmp_path, monkeypatch):
    def train(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")

    monkeypatch.setattr(measurement, "_train", train)
    row = measure(workload(micro_sd, tmp_path), "32-true", 4, 1e9, name="micro")
    assert row.error == "out of memory: CUDA out of memory. Tried to allocate 2 GiB."
    assert row.seconds is None


@pytest.mark.slow
def test_a_quantised_base_is_smaller_in_all_loops(plain, micro_sd, tmp_path):
    begun = replace(workload(micro_sd, tmp_path), quantization="int8")
    row = measure(begun, "32-true", 2, 1e9, name="micro")
    assert [each.error for each in (plain[0], row)] == [None, None]
    assert [each.quantization for each in (plain[0], row)] == [None, "int8"]
    assert row.memory.weights < plain[0].memory.weights
    assert {*row.others} == {*plain[0].others} == {"bare", "reference"}
