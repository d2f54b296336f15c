import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
import yaml
from filelock import FileLock, Timeout
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sdtune.cli import main
from tests.commands.toys import Toy
from tests.picture_folders import make_picture_folder

ROOT = Path(__file__).parents[2]


def fit(recipe: str, *overrides: str) -> int:
    return main(["fit", "--config", recipe, *overrides])


def steps(checkpoint: str) -> int:
    return torch.load(checkpoint, weights_only=True)["global_step"]


def test_a_run_leaves_its_recipe_curves_and_checkpoint(recipe, capsys):
    assert fit(recipe, "--model.rank", "8") == 0
    run = Path("runs/toy/version_0")
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    assert config["model"]["init_args"]["rank"] == 8
    assert config["seed"] == 42
    assert "seed" not in config["model"]["init_args"]  # it follows
    assert not {"run", "resume", "config"} & set(config)
    assert steps(f"{run}/checkpoints/last.ckpt") == 3
    table = EventAccumulator(str(run)).Reload().SummaryMetadata("_hparams_/session_start_info")
    assert table.plugin_data.plugin_name == "hparams"
    printed = capsys.readouterr().out
    assert f"run folder:  {run}\n" in printed
    assert "tensorboard --logdir runs\n" in printed
    assert f"report:      {run}/report.html\n" in printed
    assert (run / "report.html").is_file()


def test_the_saved_recipe_repeats_the_run(recipe):
    assert fit(recipe, "--run", "first", "--seed", "3") == 0
    assert fit("runs/toy/first/config.yaml", "--run", "second") == 0
    first, second = (
        torch.load(f"runs/toy/{run}/checkpoints/last.ckpt", weights_only=True)
        for run in ("first", "second")
    )
    assert first["hyper_parameters"] == second["hyper_parameters"]
    for name, weight in first["state_dict"].items():
        assert torch.equal(weight, second["state_dict"][name])
    configs = [Path(f"runs/toy/{run}/config.yaml").read_bytes() for run in ("first", "second")]
    assert configs[0] == configs[1]


def test_the_seed_reaches_what_sets_none_itself(recipe):
    assert fit(recipe, "--seed", "7", "--data.seed", "5") == 0
    hyper_parameters = torch.load("runs/toy/version_0/checkpoints/last.ckpt", weights_only=True)
    assert hyper_parameters["hyper_parameters"]["seed"] == 7
    config = yaml.safe_load(Path("runs/toy/version_0/config.yaml").read_text(encoding="utf-8"))
    assert config["data"]["init_args"]["seed"] == 5


def test_a_resumed_run_goes_on_in_its_folder(recipe):
    assert fit(recipe) == 0
    before = Path("runs/toy/version_0/config.yaml").read_bytes()
    assert fit(recipe, "--trainer.max_steps", "5", "--resume") == 0
    run = Path("runs/toy/version_0")
    assert [path.name for path in Path("runs/toy").iterdir()] == ["version_0"]
    assert (run / "config.yaml").read_bytes() == before
    assert yaml.safe_load((run / "config_2.yaml").read_text())["trainer"]["max_steps"] == 5
    assert len(list(run.glob("events.out.tfevents.*"))) == 2
    assert max(steps(str(path)) for path in run.glob("checkpoints/*.ckpt")) == 5


def keep_checkpoints(recipe: str) -> None:
    """Let sdtune's own callback write the checkpoints, after every second step."""
    text = Path(recipe).read_text(encoding="utf-8")
    own = "sdtune.ResumeCheckpoint\n      init_args: {every_n_steps: 2}"
    Path(recipe).write_text(text.replace("tests.commands.toys.Last", own), encoding="utf-8")


def files_of(run: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


def test_a_recipe_that_cannot_go_on_is_refused_whole_and_writes_nothing(recipe, capsys):
    keep_checkpoints(recipe)
    assert fit(recipe) == 0
    before = files_of(Path("runs"))
    changed = ["--model.rank=8", "--model.learning_rate=0.5", "--seed=3", "--resume"]
    assert fit(recipe, *changed) == 2
    printed = capsys.readouterr().err
    assert "sdtune: 3 problems, and nothing was started:" in printed
    for key in ("model.learning_rate", "model.rank", "model.seed"):
        assert f"Expected `{key}` to stay " in printed
    assert files_of(Path("runs")) == before


def test_what_a_resumed_run_may_change_is_in_its_page(recipe, capsys):
    keep_checkpoints(recipe)
    assert fit(recipe) == 0
    assert fit(recipe, "--trainer.max_steps=5", "--resume") == 0
    page = Path("runs/toy/version_0/report.html").read_text(encoding="utf-8")
    assert "from step 3 on" in page
    assert "trainer.max_steps 3 → 5" in page
    assert steps("runs/toy/version_0/checkpoints/last.ckpt") == 5


def test_a_damaged_checkpoint_is_said_and_the_one_before_taken(recipe, capsys):
    keep_checkpoints(recipe)
    assert fit(recipe, "--trainer.max_steps=4") == 0
    last = Path("runs/toy/version_0/checkpoints/last.ckpt")
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    assert fit(recipe, "--trainer.max_steps=6", "--resume") == 0
    printed = capsys.readouterr().out
    assert f"Expected {last} to be as it was written, but its bytes have changed" in printed
    assert f"Training goes on from the one before, {last.with_name('step_000002.ckpt')}." in printed
    assert steps(str(last)) == 6
    scalars = EventAccumulator(str(last.parents[1])).Reload().Scalars("lr-SGD")
    assert len({each.step for each in scalars}) == len(scalars)


def test_a_signal_is_an_exit_code_and_how_to_go_on(recipe, capsys, monkeypatch):
    keep_checkpoints(recipe)
    before = Toy.training_step

    def asked_to_stop(self, batch, batch_idx):
        if batch_idx == 0:
            signal.raise_signal(signal.SIGTERM)
        return before(self, batch, batch_idx)

    monkeypatch.setattr(Toy, "training_step", asked_to_stop)
    assert fit(recipe) == 143
    printed = capsys.readouterr()
    assert "Training stopped after step 1, kept in" in printed.err
    assert "go on with:  sdtune fit --config=toy.yaml --resume=runs/toy/version_0\n" in printed.out
    monkeypatch.setattr(Toy, "training_step", before)
    assert fit(recipe, "--resume") == 0
    assert steps("runs/toy/version_0/checkpoints/last.ckpt") == 3


def test_a_run_that_another_process_trains_is_refused_untouched(recipe, capsys, monkeypatch):
    keep_checkpoints(recipe)
    assert fit(recipe, "--run=mine") == 0
    before = files_of(Path("runs"))
    monkeypatch.setattr(FileLock, "acquire", Mock(side_effect=Timeout("runs/toy/mine/.lock")))
    assert fit(recipe, "--trainer.max_steps=5", "--resume=runs/toy/mine") == 1
    assert "no other process to train in runs/toy/mine" in capsys.readouterr().err
    assert files_of(Path("runs")) == before


def test_a_place_that_cannot_be_written_to_is_named(recipe, capsys):
    Path("runs").write_text("a file where a folder should be", encoding="utf-8")
    assert fit(recipe) == 1
    assert capsys.readouterr().err.startswith("sdtune: Expected to use runs")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte, where this process may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)]
    if sys.platform != "linux" or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_is_full_or_read_only_leaves_the_last_good_state(recipe, capsys, small_disk):
    keep_checkpoints(recipe)
    place = f"--trainer.default_root_dir={small_disk}"
    assert fit(recipe, place, "--run=mine") == 0
    run = small_disk / "toy" / "mine"
    kept = (run / "checkpoints" / "last.ckpt").read_bytes()
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    filler = small_disk / "filler"
    filler.write_bytes(b"0" * (free - 8192))
    capsys.readouterr()
    assert fit(recipe, place, "--trainer.max_steps=9", f"--resume={run}") == 1
    printed = capsys.readouterr().err
    assert f"Expected to use {small_disk}" in printed or f"Expected to write {run}" in printed
    assert "no space left on device" in printed
    assert (run / "checkpoints" / "last.ckpt").read_bytes() == kept
    assert not list(run.rglob("*.tmp"))
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    before = files_of(run)
    assert fit(recipe, place, "--trainer.max_steps=9", f"--resume={run}") == 1
    assert f"Expected to use {run}" in capsys.readouterr().err
    assert files_of(run) == before
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert fit(recipe, place, "--trainer.max_steps=9", f"--resume={run}") == 0
    assert steps(str(run / "checkpoints" / "last.ckpt")) == 9


def test_print_config_prints_a_recipe_and_starts_nothing(recipe, capsys):
    with pytest.raises(SystemExit) as exit_:
        fit(recipe, "--print_config", "--seed", "7")
    assert exit_.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["seed"] == 7
    assert "seed" not in printed["model"]["init_args"]
    assert not Path("runs").exists()


def test_a_wrong_call_lists_every_problem_and_starts_nothing(recipe, capsys):
    assert fit(recipe, "--model.rnak", "8", "--data.folder", "nowhere", "--resume") == 2
    printed = capsys.readouterr().err
    assert printed.startswith("sdtune: 4 problems, and nothing was started:\n")
    for part in ("`model.rnak`; did you mean `model.rank`?", "nowhere: no such", "to resume"):
        assert part in printed
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "override", ["--trainer.accelerator=none", "--model.rank=[1]", "--trainer.callbacks.rows=1"]
)
def test_what_the_parser_alone_refuses_is_one_line(recipe, capsys, override):
    assert fit(recipe, override) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_existing_run_is_refused_untouched(recipe, capsys):
    assert fit(recipe, "--run", "mine") == 0
    files = sorted(Path("runs/toy/mine").rglob("*"))
    assert fit(recipe, "--run", "mine") == 2
    assert "`runs/toy/mine` exists" in capsys.readouterr().err
    assert sorted(Path("runs/toy/mine").rglob("*")) == files


def test_a_failed_run_is_one_sentence_and_how_to_go_on(recipe, capsys):
    assert fit(recipe, "--model.fail_at", "2", "--run", "mine") == 1
    printed = capsys.readouterr()
    assert printed.err == "sdtune: Expected the loss to be finite, but got nan.\n"
    go_on = "go on with:  sdtune fit --config=toy.yaml --model.fail_at=2 --resume=runs/toy/mine\n"
    assert go_on in printed.out
    page = Path("runs/toy/mine/report.html").read_text(encoding="utf-8")
    assert "This run is not finished" in page


def test_a_report_that_fails_does_not_hide_how_the_run_ended(recipe, monkeypatch, caplog):
    def fail(folder):
        raise RuntimeError("no space left")

    monkeypatch.setattr("sdtune.commands.fit.write_report", fail)
    assert fit(recipe) == 0
    assert "could not be written: no space left" in caplog.text


def test_learning_rates_are_logged_once_whoever_watches_them(recipe):
    watched = "--trainer.callbacks+=lightning.pytorch.callbacks.LearningRateMonitor"
    for run, options in enumerate(([], [watched])):
        assert fit(recipe, "--trainer.log_every_n_steps", "1", *options) == 0
        rates = EventAccumulator(f"runs/toy/version_{run}").Reload().Scalars("lr-SGD")
        assert [each.step for each in rates] == [0]


def test_a_traceback_is_shown_on_request(recipe, capsys, monkeypatch):
    monkeypatch.setenv("SDTUNE_TRACEBACK", "1")
    assert fit(recipe, "--model.fail_at", "1") == 1
    assert "in training_step" in capsys.readouterr().err


def test_without_a_logger_there_is_no_run_folder(recipe):
    assert fit(recipe, "--trainer.logger=false", "--trainer.default_root_dir=out") == 0
    assert not list(Path("out").rglob("config.yaml"))


@pytest.mark.slow
def test_what_was_trained_is_written_whatever_callbacks_there_are(
    tmp_path, monkeypatch, micro_sd, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDTUNE_CACHE", str(tmp_path / "cache"))
    data = f"--data.folder={make_picture_folder(tmp_path / 'discs')}"
    own = [f"--model.base={micro_sd}", "--data.resolution=64", data, "--data.validation_count=1"]
    words = [*own, "--trainer.max_steps=1", "--trainer.callbacks=[]", "--trainer.accelerator=cpu"]
    assert fit(str(ROOT / "recipes/style_lora.yaml"), *words) == 0
    printed = capsys.readouterr().out
    assert "The adapter is written too, after each validation, or else each epoch: " in printed
    assert "The run can be resumed by a file of Lightning's ModelCheckpoint alone" in printed
    assert list(Path("runs/style_lora/version_0/adapter").glob("*.safetensors"))


@pytest.mark.slow
def test_two_processes_share_one_run_folder(recipe, quick_python):
    overrides = ["--trainer.devices=2", "--trainer.strategy=ddp", "--run=both", "--trust=tests"]
    finished = subprocess.run(
        [quick_python, "-m", "sdtune", "fit", "--config", recipe, *overrides],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    assert [path.name for path in Path("runs/toy").iterdir()] == ["both"]
    assert finished.stdout.count("run folder:") == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_two_processes_that_are_asked_to_stop_end_and_go_on(recipe, quick_python, number):
    keep_checkpoints(recipe)
    both = ["--trainer.devices=2", "--trainer.strategy=ddp", "--trust=tests"]
    command = [quick_python, "-m", "sdtune", "fit", "--config", recipe, *both]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = Path("runs/toy/both")
    limits = ["--trainer.max_steps=-1", "--trainer.max_epochs=-1", "--run=both"]
    process = subprocess.Popen(
        [*command, *limits], env=environment, stderr=subprocess.PIPE, text=True
    )
    while not (run / "checkpoints/last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(number)
    _, printed = process.communicate(timeout=120)
    assert process.returncode == 128 + number, printed
    assert "Training stopped after step" in printed
    until = steps(str(run / "checkpoints/last.ckpt")) + 3
    rest = [*command, f"--trainer.max_steps={until}", "--trainer.max_epochs=-1", f"--resume={run}"]
    subprocess.run(rest, env=environment, check=True, capture_output=True, timeout=120)
    assert steps(str(run / "checkpoints/last.ckpt")) == until


@pytest.mark.parametrize("arguments", [["--help"], ["--model.help", "tests.commands.toys.Toy"]])
def test_help_lists_what_can_be_set(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["fit", *arguments])
    assert exit_.value.code == 0
    printed = capsys.readouterr().out
    assert ("--trainer.max_steps" if arguments == ["--help"] else "--model.rank") in printed


def test_a_checkpoint_that_cannot_be_gone_on_from_is_one_sentence(recipe, capsys):
    assert fit(recipe) == 0
    whole = Path("runs/toy/version_0/checkpoints/last.ckpt")
    state = torch.load(whole, weights_only=True)
    Path("cut.ckpt").write_bytes(whole.read_bytes()[:900])
    torch.save(state["state_dict"], "weights.ckpt")
    torch.save({**state, "callbacks": []}, "callbacks.ckpt")
    torch.save({**state, "loops": {"fit_loop": {}}}, "loops.ckpt")
    torch.save({**state, "optimizer_states": [{}]}, "optimizer.ckpt")
    before = {path for path in Path("runs").rglob("*") if path.is_file()}
    capsys.readouterr()
    codes = {"cut": 2, "weights": 2, "loops": 2, "callbacks": 1, "optimizer": 1}
    for name, code in codes.items():
        assert fit(recipe, f"--resume={name}.ckpt") == code, name
        printed = capsys.readouterr().err
        sentences = [line for line in printed.splitlines() if line.startswith("sdtune: ")]
        assert len(sentences) == 1, printed
        assert f"{name}.ckpt" in sentences[0]
        assert "weights_only" not in printed
    assert before <= {path for path in Path("runs").rglob("*") if path.is_file()}
