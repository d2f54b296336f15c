"""An adapter is trained again by its own record, and each number is compared."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from sdtune.adapters.tensor_comparison import TensorComparison
from sdtune.cli import main
from sdtune.commands.reproduce import _outcome
from sdtune.files import tensor_file
from sdtune.run_folder.training_record import RECORD_KEY
from tests.picture_folders import make_picture_folder
from tests.tiny_models import make_micro_sd

pytestmark = pytest.mark.slow  # what is reproduced is trained first

FILE = "adapter/pytorch_lora_weights.safetensors"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base, pictures, and a run of four steps, with an average and validation."""
    folder = tmp_path_factory.mktemp("reproduce")
    make_micro_sd(folder / "base")
    make_picture_folder(folder / "photos", 5)
    style = {
        "model": {
            "class_path": "sdtune.LoRAStyleModule",
            "init_args": {
                "base": "base",
                "rank": 2,
                "dropout": 0.1,
                "learning_rate": 1e-2,
                "lr_schedule": "cosine",
            },
        },
        "data": {
            "class_path": "sdtune.StyleDataModule",
            "init_args": {
                "folder": "photos",
                "resolution": 64,
                "validation_count": 1,
                "batch_size": 2,
                "num_workers": 0,
            },
        },
        "trainer": {
            "max_steps": 4,
            "accelerator": "cpu",
            "val_check_interval": 2,
            "check_val_every_n_epoch": None,
            "enable_progress_bar": False,
            "callbacks": [
                {"class_path": "sdtune.AdapterCheckpoint", "init_args": {"every_n_steps": 3}},
                {
                    "class_path": "lightning.pytorch.callbacks.EMAWeightAveraging",
                    "init_args": {"decay": 0.5},
                },
            ],
        },
    }
    (folder / "style.yaml").write_text(yaml.safe_dump(style))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sdtune.commands.fit.write_report", lambda folder: None)
        assert main(["fit", "--config", "style.yaml", "--run", "first"]) == 0
        # the same without an average, which a file alone says all of
        callbacks = ["--trainer.callbacks=null"]
        assert main(["fit", "--config", "style.yaml", "--run", "plain", *callbacks]) == 0
        scheduled = "GradientAccumulationScheduler", "{0: 1, 1: 2}"
        schedule = [f"--trainer.callbacks={scheduled[0]}"]
        schedule += [f"--trainer.callbacks.scheduling={scheduled[1]}"]
        assert main(["fit", "--config", "style.yaml", "--run", "scheduled", *schedule]) == 0
    return folder


@pytest.fixture
def here(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    monkeypatch.setattr("sdtune.commands.fit.write_report", lambda folder: None)
    return made


PLACES = ["--model.base", "base", "--data.folder", "photos"]


def test_a_run_becomes_the_same_again(here, capsys):
    # with other workers, and without validations
    words = ["runs/style/first", "--follow_paths", "--data.num_workers", "1"]
    assert main(["reproduce", *words, "--run", "again"]) == 0
    printed = capsys.readouterr().out
    assert "learning_rate: 0.01" in printed
    assert "nothing differs from the record already" in printed
    assert f"equal: runs/style/first/{FILE} and runs/reproduce/again/{FILE}" in printed
    old, new = (tensor_file.read_tensors(f"runs/{each}/{FILE}") for each in _RUNS)
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in old)
    # nothing was written over, and what stands in the headers is the same
    headers = [tensor_file.read_metadata(f"runs/{each}/{FILE}")[RECORD_KEY] for each in _RUNS]
    assert headers[0] == headers[1]


_RUNS = ("style/first", "reproduce/again")


def test_an_earlier_step_and_a_file_elsewhere(here, tmp_path, capsys):
    shutil.copy(f"runs/style/plain/{FILE}", tmp_path / "erica.safetensors")
    assert main(["reproduce", str(tmp_path / "erica.safetensors"), *PLACES]) == 0
    step = "runs/style/first/adapter/step_000003"  # of a cosine over four
    assert main(["reproduce", step, *PLACES]) == 0
    assert capsys.readouterr().out.count("equal: ") == 2


def test_a_schedule_of_accumulation_is_taken_from_the_file_alone(here, capsys):
    assert main(["reproduce", "runs/style/scheduled", *PLACES]) == 0
    printed = capsys.readouterr().out
    assert "GradientAccumulationScheduler" in printed
    assert "nothing differs from the record already" in printed


def test_what_differs_is_listed_and_is_a_code_of_its_own(here, tmp_path, capsys):
    shutil.copytree("photos", tmp_path / "photos")
    (tmp_path / "photos" / "disc_0.txt").write_text("another disc")
    words = ["--model.base=base", f"--data.folder={tmp_path / 'photos'}", "--model.rank=2"]
    words += ["--model.learning_rate=0.02"]
    assert main(["reproduce", "runs/style/plain", *words]) == 3
    printed = capsys.readouterr().out
    for line in (
        "  - recipe: model.learning_rate was `0.01`, is `0.02`",
        "  - data: captions or repeats of 1 picture differ",
    ):
        assert printed.count(line) == 2  # before and after
    assert "not equal: runs/style/plain/" in printed
    assert "the largest difference is " in printed


def test_check_trains_nothing(here, capsys):
    before = sorted(Path("runs").rglob("*"))
    assert main(["reproduce", "runs/style/plain", "--check", *PLACES]) == 0
    assert main(["reproduce", "runs/style/plain", "--check", *PLACES, "--model.seed=1"]) == 3
    assert "recipe: model.seed was `42`, is `1`" in capsys.readouterr().out
    assert sorted(Path("runs").rglob("*")) == before


def test_no_path_of_a_record_is_followed_unless_it_is_told(here, tmp_path, capsys):
    assert main(["reproduce", "runs/style/plain"]) == 2
    told = capsys.readouterr().err
    assert "Expected `--model.base` to be given" in told
    assert "Its run's recipe says `photos`: `--follow_paths`" in told
    shutil.copy(f"runs/style/first/{FILE}", tmp_path / "a.safetensors")
    assert main(["reproduce", str(tmp_path / "a.safetensors"), "--follow_paths", *PLACES]) == 2
    assert "EMAWeightAveraging averaged the weights" in capsys.readouterr().err
    header = Path(f"runs/style/plain/{FILE}").read_bytes()[:20_000]
    assert b"photos" not in header
    assert str(here).encode() not in header


def _forged(path: Path, change) -> str:
    """Write an adapter whose record is a stranger's."""
    source = f"runs/style/plain/{FILE}"
    metadata = {
        key: value
        for key, value in tensor_file.read_metadata(source).items()
        if key not in tensor_file.RESERVED
    }
    record = json.loads(metadata[RECORD_KEY])
    change(record)
    metadata[RECORD_KEY] = json.dumps(record)
    tensor_file.write(path, tensor_file.read_tensors(source), metadata)
    return str(path)


def test_a_strangers_record_runs_nothing_of_theirs(here, tmp_path, capsys):
    def other_class(record):
        record["recipe"]["model"]["class_path"] = "os.system"

    def option(record):
        record["recipe"]["trainer"]["default_root_dir"] = "/tmp/elsewhere"

    def paths(record):
        record["places"] = ["data.folder", "", "model.a;b"]
        record["recipe"]["data"]["init_args"] |= {"cache_dir": "/tmp/x", "folder": "/etc"}
        record["recipe"]["model"]["init_args"] |= {"base": "/root", "adapter": "../../secret"}

    for change, said in (
        (other_class, ["got `os.system`, which is other people's code"]),
        (option, ["`trainer` to hold no `default_root_dir`"]),
        (paths, ["`--model.base`", "`--model.adapter`", "`--data.folder`", "but got 'model.a;b'"]),
    ):
        path = _forged(tmp_path / f"{change.__name__}.safetensors", change)
        words = PLACES if change is other_class else []
        assert main(["reproduce", path, *words]) == 2
        told = capsys.readouterr().err
        assert all(each in told for each in said), told


def test_a_file_without_a_record_says_so(here, tmp_path, capsys):
    tensor_file.write(tmp_path / "word.safetensors", {"<a>": torch.ones(1, 4)}, {})
    assert main(["reproduce", str(tmp_path / "word.safetensors")]) == 2
    assert "to hold a record of its training, but it has none" in capsys.readouterr().err


def test_another_shape_is_told_by_both_and_is_no_difference_of_values():
    found = TensorComparison(
        Path("a"), Path("b"), "", is_equal=False, unlike=["`x`, 2 where 4 is expected", "y"]
    )
    assert _outcome(found) == (
        "not equal: a and b; 2 tensors are of another shape or type, such as `x`, 2 where 4 is "
        "expected"
    )
