import json
import shlex
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from PIL import Image

from sdtune.cli import main
from sdtune.commands import comparing
from sdtune.commands.comparing import _grouped, plan_runs
from sdtune.commands.comparison_file import read_comparison
from sdtune.comparison import execution
from sdtune.comparison.comparison_lock import only_comparison
from sdtune.comparison.output_names import distinct_names, run_name
from sdtune.comparison.results import check_comparable
from sdtune.comparison.run_inputs import RunInputs
from sdtune.comparison.settings import Comparison, Variant
from sdtune.comparison.sweep import sweep_runs
from sdtune.run_folder.recipe_changes import Change
from sdtune.run_folder.resumes import note_resume
from tests.comparison.runs import make_evaluation, make_result

ROOT = Path(__file__).parents[2]
COMPARISON = """\
title: Toys
evaluation: {prompts: [a cat, a dog]}
runs:
  four: {recipe: toy.yaml}
  eight: {recipe: toy.yaml, label: Rank 8, overrides: {model.rank: 8}}
"""
SCORES = {"four": [20.0, 21.0, 22.0, 23.0], "eight": [30.0, 31.0, 32.0, 33.0]}

SMALL = """\
model:
  class_path: sdtune.LoRAStyleModule
  init_args: {{base: {base}, rank: 2}}
data:
  class_path: sdtune.StyleDataModule
  init_args: {{folder: pictures, resolution: 64}}
trainer:
  accelerator: cpu
  log_every_n_steps: 1
  callbacks: [{{class_path: sdtune.AdapterCheckpoint}}]
"""
REAL = """\
title: Real
evaluation: {prompts: [a cat, a dog], seeds: [0], num_inference_steps: 1, style_pictures: 0}
runs:
  lora: {recipe: small.yaml, overrides: {model.target_modules: [to_q, to_v]}}
figures:
  - {title: Curves, kind: loss_curves}
  - {title: Samples, kind: samples}
"""


@pytest.fixture
def toys(recipe):
    Path("toys.yaml").write_text(COMPARISON, encoding="utf-8")
    return "toys.yaml"


@pytest.fixture
def started(monkeypatch):
    """The commands that were started; each leaves the scores of its run, or fails with none."""
    commands = []

    def start(command, log):
        commands.append(command)
        digest = command[-1].removeprefix("--run=")
        name = Path(command[3].removeprefix("--config=")).stem
        if name not in SCORES:
            log.write_text("sdtune: Expected the loss to be finite, but got nan.\n")
            return 1
        make_evaluation(SCORES[name]).save(log.parents[2] / name / digest / "evaluation.json")
        return 0

    monkeypatch.setattr(execution, "start_process", start)
    return commands


def refusals(capsys, *arguments: str) -> list[str]:
    assert main(["compare", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    return [line.removeprefix("sdtune: ").removeprefix("  - ") for line in lines]


def test_a_comparison_ends_with_a_table_and_is_not_repeated(toys, started, capsys):
    assert main(["compare", toys, "--budget-steps", "2", "--seed=3"]) == 0
    printed = capsys.readouterr().out
    copies = [Path(command[2].removeprefix("--config=")) for command in started]
    assert {copy.read_bytes() for copy in copies} == {Path("toy.yaml").read_bytes()}
    assert started[1][4:7] == ["--model.rank=8", "--seed=3", "--trainer.max_steps=2"]
    assert "four finished" in printed
    assert "| run | base | four | Rank 8 |" in printed
    assert printed.count("★ 32 (") == 1
    content = json.loads(Path("runs/toys/comparison.json").read_text(encoding="utf-8"))
    assert content["command"] == "sdtune compare toys.yaml --budget-steps 2 --seed=3"
    assert Path("runs/toys/report.html").is_file()

    assert main(["compare", toys, "--budget-steps", "2", "--seed=3", "--publish=results"]) == 0
    assert len(started) == 2
    assert "1/2 four: finished already" in capsys.readouterr().out
    assert "# Toys" in Path("results/README.md").read_text(encoding="utf-8")
    assert main(["compare", toys, "--budget-steps", "3"]) == 0
    assert len(started) == 4


def test_a_reader_who_has_gone_takes_no_results_along(toys, started, monkeypatch):
    def show(*lines, **_):
        if any(str(line).startswith("| run") for line in lines):
            raise OSError("nobody reads this")

    monkeypatch.setattr(comparing, "show", show)
    assert main(["compare", toys, "--budget-steps", "2"]) == 1
    for name in ("README.md", "comparison.json", "report.html"):
        assert Path("runs/toys", name).is_file()


def test_a_readme_of_the_users_is_refused_before_the_first_run(toys, started, capsys):
    Path("README.md").write_text("mine", encoding="utf-8")
    for options in (["--publish=."], ["--output=."], ["--output=.", "--publish=."]):
        [problem] = refusals(capsys, toys, *options)
        assert f"Expected `{options[0][:-2]}` to name a new folder" in problem
    assert Path("README.md").read_text(encoding="utf-8") == "mine"
    assert not started


def test_a_run_that_trains_is_refused_before_another_is_started(toys, started, capsys):
    [plan, _] = plan_runs(read_comparison(toys))[0]
    plan.folder.mkdir(parents=True)
    with FileLock(plan.folder / ".lock", timeout=0):
        [problem] = refusals(capsys, toys)
    assert problem.startswith(f"Expected no other process to train in {plan.folder}, but one does")
    assert not started


def test_a_second_comparison_at_once_is_refused_and_replaces_nothing(toys, started, capsys):
    assert main(["compare", toys]) == 0
    kept = {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()}
    folder = Path("runs/toys")
    with only_comparison(folder):  # as another process has it
        [problem] = refusals(capsys, toys)
    assert problem.startswith(f"Expected no other `sdtune compare` to run in {folder}, but one")
    assert {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()} == kept
    assert main(["compare", toys]) == 0
    assert len(started) == 2


def test_a_run_that_was_gone_on_with_by_hand_is_not_read_as_the_planned_one(toys, started, capsys):
    assert main(["compare", toys, "--budget-steps=2"]) == 0
    before = Path("runs/toys/README.md").read_bytes()
    [folder] = Path("runs/toys/four").iterdir()
    note_resume(folder, 2, [Change("trainer.max_steps", 2, 4)])
    [problem] = refusals(capsys, toys, "--budget-steps=2")
    assert problem.startswith(f"Expected the run `four` in {folder} to be what is compared here")
    assert len(started) == 2
    assert Path("runs/toys/README.md").read_bytes() == before


@pytest.fixture
def read(monkeypatch):
    """What runs read: what is in their data's folder when they are planned."""

    def look(data, arguments):
        names = sorted(path.name for path in data.folder.glob("*.png"))
        return RunInputs(" ".join(names), "nano", " ".join(names), len(names))

    monkeypatch.setattr(comparing, "read_inputs", look)


def test_a_run_begins_anew_when_its_pictures_have_changed(toys, started, read, capsys):
    for name in ("a", "b"):
        Path(f"{name}.png").touch()
    assert main(["compare", toys]) == 0
    Path("b.png").rename("c.png")
    assert main(["compare", toys]) == 0
    assert len(started) == 4
    assert "finished already" not in capsys.readouterr().out
    Path("c.png").rename("b.png")
    assert main(["compare", toys]) == 0
    assert len(started) == 4
    assert capsys.readouterr().out.count("finished already") == 2


@pytest.fixture
def split(monkeypatch):
    """Data that holds pictures out by its seed."""

    def look(data, arguments):
        return RunInputs(f"{data.split_seed}", "nano", f"{data.split_seed}", 2)

    monkeypatch.setattr(comparing, "read_inputs", look)


def words_of_seed(commands):
    return [[word for word in each if "seed=" in word] for each in commands]


def test_seeds_are_compared_on_the_pictures_of_the_recipes_own(
    scored, started, split, monkeypatch, capsys
):
    for number in (1, 2, 7):
        monkeypatch.setitem(SCORES, f"toy_seed_{number}", [20.0, 21.0, 22.0, 23.0])
    assert main(["compare", scored, "--sweep=seed=1,2"]) == 0
    assert words_of_seed(started) == [[f"--seed={n}", "--data.seed=42"] for n in (1, 2)]
    assert main(["compare", scored, "--sweep=seed=7,2,1"]) == 0
    assert words_of_seed(started[2:]) == [["--seed=7", "--data.seed=42"]]
    with Path(scored).open("a", encoding="utf-8") as file:
        file.write("seed: 5\n")
    assert main(["compare", scored, "--sweep=seed=1,2", "--output=own"]) == 0
    assert words_of_seed(started[3:]) == [[f"--seed={n}", "--data.seed=5"] for n in (1, 2)]
    assert main(["compare", scored, "--sweep=seed=1,2", "--data.seed=9", "--output=given"]) == 0
    assert words_of_seed(started[5:]) == [[f"--seed={n}", "--data.seed=9"] for n in (1, 2)]
    problems = refusals(capsys, scored, "--sweep=seed=1,2;data.seed=1,2")
    assert "but they differ in training pictures" in problems[1]


def test_seeds_of_data_that_holds_nothing_out_are_left_alone(scored, started, read, monkeypatch):
    for number in (1, 2):
        monkeypatch.setitem(SCORES, f"toy_seed_{number}", [20.0, 21.0, 22.0, 23.0])
    assert main(["compare", scored, "--sweep=seed=1,2"]) == 0
    assert words_of_seed(started) == [["--seed=1"], ["--seed=2"]]


@pytest.fixture
def while_one_trains(monkeypatch):
    """Does what is given while the first run trains."""

    def during(act):
        start = execution.start_process

        def start_and_act(command, log):
            result = start(command, log)
            act()
            return result

        monkeypatch.setattr(execution, "start_process", start_and_act)

    return during


def test_a_recipe_that_is_edited_meanwhile_is_trained_as_it_was(toys, started, while_one_trains):
    before = Path("toy.yaml").read_bytes()
    while_one_trains(lambda: Path("toy.yaml").write_bytes(before + b"seed: 7\n"))
    assert main(["compare", toys]) == 0
    for command in started:
        assert Path(command[2].removeprefix("--config=")).read_bytes() == before
    assert main(["compare", toys]) == 0
    assert len(started) == 4  # another recipe, which is other runs
    assert started[2][2] != started[0][2]


def test_pictures_that_change_meanwhile_end_the_runs_that_follow(
    toys, started, read, while_one_trains, capsys
):
    Path("a.png").touch()
    while_one_trains(Path("b.png").touch)
    assert main(["compare", toys]) == 1
    assert [Path(command[3]).stem for command in started] == ["four"]
    printed = capsys.readouterr().out
    assert "eight failed, " in printed
    assert "Expected what `eight` reads to be as it was when the comparison began, but" in printed
    Path("b.png").unlink()
    assert main(["compare", toys]) == 0
    assert [Path(command[3]).stem for command in started] == ["four", "eight"]


def test_a_part_of_a_recipe_in_a_file_of_its_own_decides_too(scored, started, capsys):
    Path("parts").mkdir()
    recipe = yaml.safe_load(Path(scored).read_text(encoding="utf-8"))
    part = Path("parts/m.yaml")
    part.write_text(yaml.safe_dump(recipe["model"]), encoding="utf-8")
    Path("parts/four.yaml").write_text(yaml.safe_dump({**recipe, "model": "m.yaml"}))
    call = ["compare", "parts/four.yaml", "--output", "out"]
    assert main(call) == 0
    copy = yaml.safe_load(Path(started[0][2].removeprefix("--config=")).read_text("utf-8"))
    assert copy == recipe
    assert main(call) == 0
    assert len(started) == 1
    part.write_text(part.read_text("utf-8").replace("rank: 4", "rank: 8"), encoding="utf-8")
    assert main(call) == 0
    assert len(started) == 2
    part.write_text("[", encoding="utf-8")
    [problem] = refusals(capsys, *call[1:])
    assert "Expected `parts/m.yaml` to be a YAML file, but " in problem


def test_a_sweep_over_other_pictures_is_refused_before_the_first_run(scored, started, read, capsys):
    for folder, count in (("one", 2), ("two", 3)):
        Path(folder).mkdir()
        for number in range(count):
            Path(folder, f"{number}.png").touch()
    [problem] = refusals(capsys, scored, "--sweep=data.folder=one,two")
    assert problem.startswith("Expected `toy_folder_two` to train on what `toy_folder_one` does")
    assert "but they differ in training pictures (2 and 3)" in problem
    assert not started


@pytest.mark.slow
def test_the_comparisons_of_readme_begin(monkeypatch, tmp_path):
    begun = []

    def carry_out(comparison, plans, engine):
        begun.append(plans)
        raise ValueError("begun")

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(comparing, "_carry_out", carry_out)
    lines = [
        shlex.split(line)[1:]
        for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("sdtune compare recipes/")
    ]
    for line in lines:
        assert main([*line, f"--output={tmp_path / 'compared'}"]) == 1
    assert [len(plans) for plans in begun] == [2, 4]


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("--trainer.default_root_dir=x", "Expected `trainer.default_root_dir` to be left to the"),
        ("--trainer.logger=false", "reads scores and curves where sdtune's own logger puts them"),
        ("--trainer.logger=CSVLogger", "got lightning.pytorch.loggers.CSVLogger: leave it out."),
        ("--trainer.fast_dev_run=true", "Expected no `trainer.fast_dev_run` in a comparison"),
        ("--trainer.callbacks=[]", "Expected sdtune.EvaluationCallback among `trainer.callbacks`"),
        ("--budget_minutes=0.001", "Expected `budget_minutes` to be a second, 0.017, at least"),
        ("--publish=/proc/x", "Expected `/proc/x` to be where files can be written, but nothing"),
        ("--output=/proc/x", "Expected `/proc/x` to be where files can be written, but nothing"),
    ],
)
def test_a_call_that_cannot_succeed_is_refused_before_the_first_run(
    toys, started, capsys, option, problem
):
    options = [option] + (["--trainer.logger.save_dir=x"] if "CSV" in option else [])
    [found] = refusals(capsys, toys, *options)
    assert problem in found
    assert not started


def test_what_a_run_and_the_call_give_is_refused_before_the_first_run(toys, started, capsys):
    for option in ("--model.rank=4", "--model.init_args.rank=4"):
        [problem] = refusals(capsys, toys, option)
        assert problem.startswith("Expected `model.rank` in `runs.eight.overrides` alone, but the")
    assert not started


def test_recipes_whose_names_differ_by_a_space_are_two_runs(scored, started, monkeypatch, capsys):
    names = ("a b", "a_b")
    for name in names:
        Path(f"{name}.yaml").write_bytes(Path(scored).read_bytes())
    for name in distinct_names(names):
        monkeypatch.setitem(SCORES, name, [20.0, 21.0, 22.0, 23.0])
    assert main(["compare", "a b.yaml", "a_b.yaml"]) == 0
    assert "| run | base | a b | a_b |" in capsys.readouterr().out
    assert len(started) == 2


def test_a_failed_run_is_a_row_and_an_exit_code(toys, started, capsys):
    with Path(toys).open("a", encoding="utf-8") as file:
        file.write("  two: {recipe: toy.yaml, overrides: {model.rank: 2}}\n")
    assert main(["compare", toys]) == 1
    printed = capsys.readouterr().out
    assert (
        "<br>+10 (no interval) | failed: Expected the loss to be finite, but got nan. |" in printed
    )
    assert main(["compare", toys]) == 1
    assert len(started) == 4  # the failed one is tried again


def test_every_problem_comes_before_the_first_run(toys, started, capsys):
    text = COMPARISON + "  two: {recipe: tooy.yaml}\n"
    Path(toys).write_text(text.replace("rank: 8", "rnak: 8"), encoding="utf-8")
    problems = refusals(capsys, toys, "--workers=3", "--data.folder=nowhere")
    assert problems[0] == "5 problems, and nothing was started:"
    assert problems[1] == "Expected `--workers` to be such as `ray:2`, but got `3`."
    assert problems[2].startswith("four, eight: nowhere: no such folder")
    assert problems[4].startswith("eight: Expected a known key of Toy, but got `model.rnak`")
    assert problems[5].startswith("two: Expected a recipe file, but got `tooy.yaml`")
    assert not started


def test_what_cannot_be_shown_is_refused_before_the_first_run(toys, started, capsys):
    asked = """\
tables:
  - {title: Mine, metrics: [clip_scor, dino, train_loss]}
figures:
  - {title: F, kind: samples, prompts: [1, 7]}
"""
    Path(toys).write_text(COMPARISON + asked, encoding="utf-8")
    _, metric, prompt = refusals(capsys, toys)
    assert metric.startswith("Expected `metrics` of the table `Mine` to be among `clip_score`, ")
    assert metric.endswith("`train_loss`, but got `clip_scor`; did you mean `clip_score`?")
    assert prompt == (
        "Expected `prompts` of the figure `F` to be among the 2 prompts that are evaluated, "
        "counted from 0, but got 7."
    )
    assert not started


def test_a_figure_that_cannot_be_drawn_takes_no_results_with_it(toys, started, capsys):
    with Path(toys).open("a", encoding="utf-8") as file:
        file.write("figures: [{title: F, kind: samples}]\n")
    assert main(["compare", toys]) == 1  # these runs leave no pictures
    printed = capsys.readouterr()
    assert "sdtune: The figure `F` could not be drawn: " in printed.err
    assert "results:     runs/toys/report.html" in printed.out
    assert "could not be drawn" in Path("runs/toys/README.md").read_text(encoding="utf-8")
    assert Path("runs/toys/comparison.json").is_file()


def test_recipes_alone_are_a_comparison_too(recipe, started, capsys):
    prompts = '{"class_path": "sdtune.EvaluationCallback", "init_args": {"prompts": ["a", "b"]}}'
    for name in SCORES:
        text = Path(recipe).read_text(encoding="utf-8")
        text = text.replace("  callbacks:\n", f"  callbacks:\n    - {prompts}\n")
        Path(f"{name}.yaml").write_text(text, encoding="utf-8")
    assert main(["compare", "four.yaml", "eight.yaml", "--output", "out", "--publish=p"]) == 0
    assert len(started) == 2
    assert Path("p/README.md").read_text(encoding="utf-8").startswith("# four, eight\n")
    assert {path.name for path in Path("out").iterdir()} >= {"four", "eight", "starts"}


def test_a_recipes_name_that_is_no_folders_is_a_label(scored, started, monkeypatch, capsys):
    for stem in ("petit réglage", "été", "starts"):
        Path(f"{stem}.yaml").write_bytes(Path(scored).read_bytes())
        monkeypatch.setitem(SCORES, run_name(stem), [20.0, 21.0, 22.0, 23.0])
    names = ["petit réglage.yaml", "été.yaml", "starts.yaml"]
    assert main(["compare", *names, "--output", "out"]) == 0
    assert "| run | base | petit réglage | été | starts |" in capsys.readouterr().out
    assert [Path(command[3]).stem for command in started] == [run_name(n[:-5]) for n in names]
    text = Path("out/README.md").read_text(encoding="utf-8")
    assert text.startswith("# petit réglage, été, starts\n")
    assert main(["compare", *names, "--output", "out"]) == 0
    assert len(started) == 3


def test_a_recipe_that_nothing_scores_is_refused_by_name(recipe, started, capsys):
    [problem] = refusals(capsys, recipe, "--budget-steps=2")
    assert f"Expected sdtune.EvaluationCallback among `trainer.callbacks` of {recipe}" in problem
    _, first, second = refusals(capsys, recipe, "--model.rank=-1")
    assert first == problem
    assert second.startswith("Expected `rank` to be")
    assert not started


def test_recipes_that_are_evaluated_differently_are_refused(recipe, started, capsys):
    for name, prompt in {"four": "a cat", "eight": "a dog"}.items():
        callback = (
            f"- {{class_path: sdtune.EvaluationCallback, init_args: {{prompts: [{prompt}]}}}}"
        )
        text = Path(recipe).read_text(encoding="utf-8")
        text = text.replace("  callbacks:\n", f"  callbacks:\n    {callback}\n")
        Path(f"{name}.yaml").write_text(text, encoding="utf-8")
    [problem] = refusals(capsys, "four.yaml", "eight.yaml")
    assert problem.startswith("Expected `eight` to be evaluated as `four` is, but `prompts` of")


def test_runs_scored_by_another_model_have_a_table_in_which_none_is_best(
    toys, started, monkeypatch, capsys
):
    assert main(["compare", toys]) == 0
    assert "★" in capsys.readouterr().out
    [record] = Path("runs/toys/eight").glob("*/evaluation.json")
    record.write_text(record.read_text().replace('"clip": "nano"', '"clip": "other"'))
    assert main(["compare", toys]) == 1
    printed = capsys.readouterr()
    assert "they differ in `clip` ('nano' and 'other')" in printed.err
    text = Path("runs/toys/README.md").read_text(encoding="utf-8")
    assert "These runs were not all scored in the same way" in text
    assert "| CLIP score ↑ | 22 (15 to 28) | 22" in text
    assert "★" not in text + printed.out.partition("| run |")[2]


def test_a_problem_names_the_setting_that_its_runs_share():
    runs = sweep_runs(["a.yaml"], {"rank": ["4", "-1"], "rate": ["1", "2"], "seed": ["1", "2"]})
    comparison = Comparison(title="t", runs=runs)

    def found(*names):
        wrong = {name: ["It is wrong."] if name in names else [] for name in runs}
        return list(_grouped(wrong, comparison))

    assert found(*runs) == ["It is wrong."]
    assert found(*(n for n in runs if "rank_-1" in n)) == ["rank=-1: It is wrong."]
    both = [n for n in runs if "rank_-1_rate_2" in n]
    assert found(*both) == ["rank=-1, rate=2: It is wrong."]
    some = ["a_rank_4_rate_1_seed_1", "a_rank_-1_rate_1_seed_2"]
    assert found(*some) == [f"{some[0]}, {some[1]}: It is wrong."]


@pytest.fixture
def scored(recipe):
    """A recipe whose runs are scored."""
    callback = '{class_path: sdtune.EvaluationCallback, init_args: {prompts: ["a", "b"]}}'
    text = Path(recipe).read_text(encoding="utf-8")
    Path(recipe).write_text(text.replace("  callbacks:\n", f"  callbacks:\n    - {callback}\n"))
    return recipe


def test_a_sweep_is_one_table_and_a_larger_one_runs_what_is_new(
    scored, started, capsys, monkeypatch
):
    for rank, more in ((4, 0.0), (8, 5.0), (16, 2.0)):
        monkeypatch.setitem(SCORES, f"toy_rank_{rank}", [20.0 + more, 21.0, 22.0, 23.0])
    assert main(["compare", scored, "--sweep", "model.rank=4,8", "--budget-steps=2"]) == 0
    assert "| run | base | rank 4 | rank 8 |" in capsys.readouterr().out
    assert [command[4] for command in started] == ["--model.rank=4", "--model.rank=8"]
    assert main(["compare", scored, "--sweep=model.rank=16,8,4", "--budget-steps=2"]) == 0
    printed = capsys.readouterr().out
    assert "| run | base | rank 16 | rank 8 | rank 4 |" in printed
    assert [command[4] for command in started[2:]] == ["--model.rank=16"]
    assert "2/3 toy_rank_8: finished already" in printed


@pytest.mark.slow
def test_a_wrong_sweep_is_refused_before_the_first_run(scored, toys, started, capsys):
    check = ["check", scored, "--model.rnak=4", "--model.rank=-1"]
    assert main(check) == 2
    of_check = capsys.readouterr().err.splitlines()
    [unknown] = [line[4:] for line in of_check if "rnak" in line]
    [_, first, second, third] = refusals(capsys, scored, "--sweep=model.rnak=4;model.rank=4,-1,-2")
    assert first == unknown
    assert second.startswith("toy_rnak_4_rank_-1: Expected `rank` to be")
    assert third.endswith("but got -2.")
    [found] = refusals(capsys, scored, "--sweep=rank=4")
    assert found.endswith("or `seed`, but got `rank`.")
    [found] = refusals(capsys, scored, "--sweep=seed=1,2", "--seed=3")
    assert found.startswith("Expected `seed` in `--sweep` alone, but the call")
    [found] = refusals(capsys, scored, "--sweep=trainer.max_steps=1,2", "--budget-steps=3")
    assert found.startswith("Expected `trainer.max_steps` in `--sweep` alone")
    [found] = refusals(capsys, toys, "--sweep=seed=1,2")
    assert found.startswith("Expected `--sweep` with recipes, but `toys.yaml` is a comparison")
    assert not started


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "Expected `recipes` to be given: sdtune compare RECIPE [RECIPE ...]"),
        (["toy.yaml", "--budget-step=2"], "`--budget-step`; did you mean `--budget_steps`?"),
        (["toy.yaml", "--budget-steps=two"], "`--budget_steps` to be int, but got `two`."),
        (["toys.yaml", "--asha=clip_score"], "Expected `--asha` with `--workers ray:N`"),
        (["toy.yaml", "--publish"], "Expected `--publish` to be given a value, but it has none."),
        (["toy.yaml", "toy.yaml"], "Expected recipes of different names, but got toy.yaml, toy"),
        (["toys.yaml", "toy.yaml"], "recipes alone or one comparison, but got `toys.yaml`."),
        (["toys.yaml", "--budget-steps=1", "--budget-minutes=1"], "but got both."),
    ],
)
def test_a_wrong_call_is_one_sentence(toys, capsys, arguments, problem):
    [found] = refusals(capsys, *arguments)
    assert problem in found


def test_help_says_how_it_is_called(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["compare", "--help"])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith("usage: sdtune compare RECIPE [RECIPE ...]")
    assert "--budget_steps" in printed


@pytest.mark.slow
def test_real_runs_end_in_a_table_figures_and_a_page(tmp_path, monkeypatch, micro_sd, quick_python):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.executable", str(quick_python))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("SDTUNE_CACHE", str(tmp_path / "cache"))
    Path("pictures").mkdir()
    for number, colour in enumerate(["red", "green", "blue"]):
        Image.new("RGB", (64, 64), colour).save(f"pictures/{number}.png")
        Path(f"pictures/{number}.txt").write_text("a cat\n", encoding="utf-8")
    Path("small.yaml").write_text(SMALL.format(base=micro_sd), encoding="utf-8")
    Path("real.yaml").write_text(REAL, encoding="utf-8")

    assert main(["compare", "real.yaml", "--budget-steps=2", "--publish=results"]) == 0
    text = Path("results/README.md").read_text(encoding="utf-8")
    [row] = [line for line in text.splitlines() if line.startswith("| steps |")]
    assert row == "| steps | 0 | 2 |"
    assert Path("results/figure_1.png").is_file()
    assert Path("results/figure_2.png").is_file()
    assert "<html" in Path("runs/real/report.html").read_text(encoding="utf-8")
    content = json.loads(Path("results/comparison.json").read_text(encoding="utf-8"))
    [lora] = content["runs"]
    assert len(lora["loss"]) == 2
    assert lora["command"].endswith(f"--run={Path(lora['folder']).name}")


@pytest.mark.slow
def test_runs_that_call_one_subject_otherwise_are_planned_and_compared(monkeypatch):
    monkeypatch.chdir(ROOT)
    recipes = ("recipes/dreambooth.yaml", "recipes/textual_inversion.yaml")
    comparison = Comparison(
        title="Words",
        runs={Path(each).stem: Variant(each) for each in recipes},
        overrides={"data.class_noun": "cat"},
        evaluation={
            "prompts": ["a {subject}", "{subject} in snow"],
            "class_prompts": ["a {class}"],
        },
    )
    plans, problems = plan_runs(comparison, ["--trainer.accelerator=cpu"])
    assert problems == []
    assert [plan.subject for plan in plans] == ["qqq cat", "<cat>"]
    results = [make_result(plan.name, [1.0] * 4, subject=plan.subject) for plan in plans]
    check_comparable(results)
