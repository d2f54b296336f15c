import logging
from dataclasses import replace
from pathlib import Path

import pytest

from sdtune.adapters.adapter_files import trained_steps
from sdtune.evaluation.scored_adapter import (
    default_output,
    find_scored,
    has_own_adapter,
    label_apart,
    place_best,
)
from sdtune.run_folder.record import Best
from tests.adapters.test_adapter_files import write
from tests.comparison.runs import make_evaluation


def record_of(scored):
    """The record of a checkpoint that was scored."""
    evaluation = make_evaluation([1.0, 2.0, 3.0, 4.0])
    base, tuned = evaluation.checkpoints
    tuned = replace(tuned, label=scored.label, sha256=scored.sha256)
    return replace(evaluation, checkpoints=[base, tuned])


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "style" / "version_0"
    for step in (20, 40):
        write(folder / "adapter" / f"step_{step:06d}", steps=str(step))
    write(folder / "adapter" / "best", steps="40")
    return folder


def test_files_of_one_name_are_kept_apart(tmp_path):
    (one,) = find_scored(write(tmp_path / "a", steps="1"))
    (other,) = find_scored(write(tmp_path / "b", steps="2"))
    assert one.label == other.label == "pytorch_lora_weights"
    assert label_apart([one], record_of(one), is_own=False) == [one]
    (apart,) = label_apart([other], record_of(one), is_own=False)
    assert apart.label == f"pytorch_lora_weights_{other.sha256[:8]}"
    unknown = record_of(replace(one, sha256=None))  # an older version's
    assert label_apart([one], unknown, is_own=False)[0].label.endswith(one.sha256[:8])
    outputs = {default_output(each.path, [each]) for each in (one, other)}
    assert outputs == {
        Path("runs", "evaluate", f"pytorch_lora_weights_{each.sha256[:8]}") for each in (one, other)
    }


def test_no_adapter_is_called_as_the_base_is(tmp_path):
    path = write(tmp_path / "a").rename(tmp_path / "base.safetensors")
    scored = find_scored(path)
    (apart,) = label_apart(scored, None, is_own=False)
    assert apart.label == f"base_{apart.sha256[:8]}"
    assert default_output(path, scored) != default_output(None, [])


def test_runs_without_a_record_get_a_folder_each(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scored = find_scored(run)
    assert [(each.label, each.step) for each in scored] == [
        ("step_000020", 20),
        ("step_000040", 40),
    ]
    output = default_output(run, scored)
    assert output == Path("runs", "evaluate", "style_version_0")
    output.mkdir(parents=True)
    record_of(scored[0]).save(output / "evaluation.json")
    assert default_output(run, scored) == output
    other = tmp_path / "elsewhere" / "style" / "version_0"
    write(other / "adapter" / "step_000020", steps="20", seed="2")
    anew = find_scored(other)
    assert default_output(other, anew).name == f"style_version_0_{anew[0].sha256[:8]}"


def test_a_runs_own_checkpoints_are_called_by_their_steps(run):
    assert has_own_adapter(run, run)
    assert has_own_adapter(run, run / "adapter" / "best")
    assert not has_own_adapter(run, run.parent / "version_1")
    (best,) = find_scored(run / "adapter" / "best")
    (labelled,) = label_apart([best], record_of(best), is_own=True)
    assert (labelled.label, labelled.step) == ("step_000040", 40)


def test_the_best_is_placed_and_what_was_it_before_is_kept(run, caplog):
    best = Best("step_000020", "the rule", "the reason")
    (run / "adapter" / "step_000040" / "pytorch_lora_weights.safetensors").unlink()
    place_best(run, best, 20)
    assert trained_steps(run / "adapter" / "best") == 20
    assert trained_steps(run / "adapter" / "step_000040") == 40
    with caplog.at_level(logging.WARNING):
        place_best(run, best, 60)
    assert "is of step 60, whose adapter is not kept" in caplog.text
    assert trained_steps(run / "adapter" / "best") == 20
    place_best(run, replace(best, label=None), None)
    assert not (run / "adapter" / "best").exists()
    assert trained_steps(run / "adapter" / "step_000020") == 20
