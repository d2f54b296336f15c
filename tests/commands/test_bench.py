import json
import sys
from io import StringIO

import pytest

from sdtune.bench import runner
from sdtune.bench.bench_call import BenchCall
from sdtune.bench.bench_place import bench_problem
from sdtune.bench.record import Row, spread
from sdtune.cli import main


@pytest.fixture(autouse=True)
def _no_ceiling(monkeypatch):
    monkeypatch.setattr(runner, "matmul_ceiling", lambda precision: 1e9)


def test_an_unknown_base_names_those_that_are_known(capsys):
    assert main(["bench", "--base", "sd51"]) == 2
    error = capsys.readouterr().err
    assert "sd51" in error
    assert "`sd15`, `sd21`, `sd21_base`, `sdxl`" in error


def test_all_that_is_wrong_is_said_at_once(capsys, tmp_path):
    (tmp_path / "file").touch()
    call = ["bench", "--steps=0", "--resolution=65", f"--output={tmp_path / 'file'}"]
    assert main([*call, "--technique", "lora"]) == 2
    error = capsys.readouterr().err
    for name in ("--steps", "--resolution", "--output", "--technique"):
        assert name in error


def test_an_unknown_growth_is_refused(capsys):
    assert main(["bench", "--grow", "size=4"]) == 2
    assert "Expected `--grow` to be of rank, batch_size" in capsys.readouterr().err


def test_half_precision_of_a_gpu_is_refused_on_a_cpu(capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["bench", "--precision", "16-mixed"]) == 2
    assert "32-true or bf16-mixed on a CPU" in capsys.readouterr().err


def test_rows_are_printed_and_written(capsys, monkeypatch, tmp_path):
    def measure(workload, precision, steps, ceiling, **named):
        return Row(
            workload.technique, named["name"], workload.resolution, precision, 1, 1, 4, 4,
            seconds=spread([0.5]), phases=dict.fromkeys(runner_phases(), 1 / 6),
            operations=dict.fromkeys(("operations", "dtype_copies", "waits"), 0.0),
        )  # fmt: skip

    monkeypatch.setattr(runner, "measure", measure)
    output = tmp_path / "out"
    call = ["bench", "--technique", "style_lora", "--precision", "32-true"]
    assert main([*call, "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "| style_lora " in printed
    assert {path.name for path in output.iterdir()} == {"bench.json", "bench.md", "bench.png"}
    assert (output / "bench.md").read_text() in printed
    assert bench_problem(output) is None


def test_what_was_measured_is_written_before_it_is_told(monkeypatch, tmp_path):
    def measure(workload, precision, steps, ceiling, **named):
        return Row("style_lora", "nano", 64, precision, 1, 1, 4, 4, seconds=spread([0.5]))

    monkeypatch.setattr(runner, "measure", measure)
    closed = StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    call = BenchCall(technique=["style_lora"], grow="rank=1,2", output=tmp_path / "out")
    with pytest.raises(ValueError, match="closed file"):
        runner.run_bench(call)
    assert {path.name for path in call.output.iterdir()} == {"bench.json", "bench.md", "bench.png"}


@pytest.mark.parametrize("name", ["bench.json", "bench.md", "bench.png"])
def test_files_of_the_users_are_refused_before_anything_is_measured(name, capsys, tmp_path):
    (tmp_path / name).write_text('{"mine": 1}')
    assert main(["bench", "--output", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"the bench.json of an earlier `sdtune bench`, but `{tmp_path / name}` is there" in error
    assert (tmp_path / name).read_text() == '{"mine": 1}'


def test_an_earlier_bench_is_replaced_and_a_start_lies_beside_it(tmp_path):
    (tmp_path / "bench.md").touch()
    (tmp_path / "start.json").touch()
    assert str(tmp_path / "bench.md") in (bench_problem(tmp_path) or "")
    assert str(tmp_path / "start.json") in (bench_problem(tmp_path, is_start=True) or "")
    keys = ("version", "command", "machine", "rows")
    (tmp_path / "bench.json").write_text(json.dumps(dict.fromkeys(keys)))
    assert bench_problem(tmp_path) is None
    (tmp_path / "start.json").write_text('{"version": 1, "recipe": "a.yaml", "stages": []}')
    assert bench_problem(tmp_path, is_start=True) is None


def test_a_new_folder_is_no_link_to_nothing(tmp_path):
    assert bench_problem(tmp_path / "new") is None
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert "link to nothing" in (bench_problem(tmp_path / "link") or "")


def test_a_recipe_is_started_by_its_name_from_any_folder(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sdtune.commands.starting._time_once", lambda recipe: [(str(recipe), 1, 1)])
    assert main(["bench", "--start", "style_lora"]) == 0
    assert "| style_lora | 1.00 | 1.00 |" in capsys.readouterr().out
    assert main(["bench", "--start", "style_lroa"]) == 2
    assert "did you mean `style_lora`?" in capsys.readouterr().err


def test_growth_changes_one_thing(monkeypatch, tmp_path):
    asked = []

    def measure(workload, precision, steps, ceiling, **named):
        asked.append((workload.technique, workload.batch_size, named["compares"]))
        return Row("style_lora", "nano", 64, precision, 1, 1, 4, 4, seconds=spread([0.5]))

    monkeypatch.setattr(runner, "measure", measure)
    call = BenchCall(technique=["style_lora"], grow="batch_size=1,2")
    growth = runner.run_bench(call).growth
    assert asked == [("style_lora", 1, False), ("style_lora", 2, False)] * 3
    assert growth is not None
    assert growth.of == "batch_size"


def runner_phases():
    return ("data", "encode", "forward", "backward", "optimizer", "other")
