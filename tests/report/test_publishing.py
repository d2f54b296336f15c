"""A folder to upload: whole, with scores, and nothing private in it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub.utils import validate_repo_id
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sdtune.cli import main
from sdtune.commands.publish import hub_name
from sdtune.files import tensor_file
from sdtune.report.publishing import private_words, publish_run
from sdtune.report.run_report import write_report
from sdtune.run_folder.record import Evaluation
from sdtune.run_folder.training_record import VERSION, TrainingRecord


@pytest.fixture
def run(whole_run, tmp_path):
    copy = tmp_path / "runs" / "style_lora" / "version_0"
    shutil.copytree(whole_run, copy)
    return copy


def front_matter(folder: Path) -> dict:
    return yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---\n")[1])


def test_a_finished_run_becomes_a_folder(run, tmp_path):
    (run / "adapter" / "best" / "notes.txt").write_text("one's own")  # not the run's
    folder = publish_run(run, tmp_path / "out" / "discs", license="cc-by-sa-4.0")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    pictures = {f"images/{base}prompt_0{n}_seed_3.png" for base in ("", "base_") for n in (0, 1)}
    assert files == {"README.md", "pytorch_lora_weights.safetensors"} | pictures
    best = run / "adapter" / "best" / "pytorch_lora_weights.safetensors"
    assert (folder / best.name).read_bytes() == best.read_bytes()
    front = front_matter(folder)
    assert front["license"] == "cc-by-sa-4.0"
    assert front["library_name"] == "diffusers"
    assert front["base_model"] == "CompVis/stable-diffusion-v1-4"
    assert [each["text"] for each in front["widget"]] == [
        '<erica> & co "at sea"',
        "a red car</script><script>alert(1)</script>",
    ]
    for each in front["widget"]:
        assert (folder / each["output"]["url"]).is_file()
    assert list(tmp_path.joinpath("out").iterdir()) == [folder]


def test_the_card_has_the_scores_with_their_intervals(run, tmp_path):
    folder = publish_run(run, tmp_path / "discs", license="mit")
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "| style score | 0.22 (0.10 to 0.34) | 0.62 (0.50 to 0.74) |" in text
    assert "step 400 of style_lora" in text
    assert "In brackets, the 95 % intervals over prompts and seeds." in text
    assert "<script>" not in text.split("---\n", 2)[2].partition("## How to draw")[0]


def test_another_checkpoint_has_its_own_scores(run, tmp_path):
    folder = publish_run(run, tmp_path / "discs", license="mit", checkpoint="200")
    assert "| 0.42 (0.30 to 0.54) |" in (folder / "README.md").read_text(encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="`last`, `200`, `400`, `best`, but got `7`"):
        publish_run(run, tmp_path / "other", license="mit", checkpoint="7")


def test_scores_are_those_of_the_step_that_a_header_says(run, tmp_path):
    tensors = {"unet.a.lora.down.weight": torch.zeros(2, 2), "unet.a.lora.up.weight": torch.ones(2)}
    name = "pytorch_lora_weights.safetensors"
    for place in ("best", ""):  # the run ended by time, and its best is another one's
        tensor_file.write(run / "adapter" / place / name, tensors, {"sdtune.steps": "200"})
    with pytest.raises(ValueError, match=r"best checkpoint, step 400 .* of step 200\. Run `sdtune"):
        publish_run(run, tmp_path / "best", license="mit")
    folder = publish_run(run, tmp_path / "last", license="mit", checkpoint="last")
    assert "| 0.42 (0.30 to 0.54) |" in (folder / "README.md").read_text(encoding="utf-8")
    page = write_report(run).read_text(encoding="utf-8")
    assert "best checkpoint, step 400 by evaluation.json, but it is of step 200." in page


def test_a_run_that_ended_by_time_is_finished_and_one_that_went_on_is_not(run, tmp_path):
    (run / "evaluation.json").unlink()
    tensors = {"unet.a.lora.down.weight": torch.zeros(2, 2), "unet.a.lora.up.weight": torch.ones(2)}
    tensor_file.write(
        run / "adapter" / "pytorch_lora_weights.safetensors", tensors, {"sdtune.steps": "60"}
    )
    kept = {"version": 1, "checkpoints": [{"step": 60, "sha256": "ab", "events": {}}], "job": ""}
    manifest = run / "checkpoints" / "manifest.json"
    manifest.parent.mkdir()
    manifest.write_text(json.dumps(kept))
    publish_run(run, tmp_path / "discs", license="mit", checkpoint="last")
    kept["checkpoints"][0]["step"] = 80
    manifest.write_text(json.dumps(kept))
    with pytest.raises(ValueError, match="but it got to step 80 of 400"):
        publish_run(run, tmp_path / "other", license="mit", checkpoint="last")


def test_the_card_names_the_adapters_own_step(run, tmp_path):
    (run / "evaluation.json").unlink()
    tensors = {"unet.a.lora.down.weight": torch.zeros(2, 2), "unet.a.lora.up.weight": torch.ones(2)}
    changes = ["from step 200 on model.learning_rate 0.001 → 0.0001 | <b>"]
    record = TrainingRecord(VERSION, {}, [], {}, {}, 1, 1, {}, changes=changes).header()
    header = {"sdtune.steps": "407", "sdtune.learning_rate": "0.0001", **record}
    name = "pytorch_lora_weights.safetensors"
    tensor_file.write(run / "adapter" / name, tensors, header)
    for asked, step in (("last", 407), ("200", 200)):
        folder = publish_run(run, tmp_path / asked, license="mit", checkpoint=asked)
        text = (folder / "README.md").read_text(encoding="utf-8")
        assert f": step {step} of style_lora, by sdtune." in text
        change = "- from step 200 on model.learning_rate 0.001 → 0.0001 \\| &lt;b>"
        assert (change in text) == (asked == "last")


def test_a_card_shows_texts_of_a_record_and_obeys_none(run, tmp_path):
    content = json.loads((run / "evaluation.json").read_text())
    evil = "[a](javascript:b) `c` <script>"
    content["metrics"]["style_score"] |= {"title": evil, "meaning": evil}
    content["protocol"]["clip"] = content["run"]["technique"] = evil
    content["protocol"]["prompts"][0] = f"x\n```\n{evil}"
    (run / "evaluation.json").write_text(json.dumps(content))
    text = (publish_run(run, tmp_path / "a", license="mit") / "README.md").read_text()
    # the blocks of code, in fences that the prompt does not close, and the front matter
    words = re.sub(r"(?ms)^(````*)(?:python)?$.*?^\1$|\A---$.*?^---$", "", text)
    assert "\\[a\\](javascript:b) \\`c\\` &lt;script>" in words
    assert "[a](" not in words
    assert "<script>" not in words


def test_nothing_is_overwritten_and_nothing_half_is_left(run, tmp_path):
    (tmp_path / "discs").mkdir()
    (tmp_path / "discs" / "mine").write_text("mine")
    with pytest.raises(FileExistsError, match="name another"):
        publish_run(run, tmp_path / "discs", license="mit")
    assert [each.name for each in (tmp_path / "discs").iterdir()] == ["mine"]
    (run / "samples" / "step_000400.png").write_bytes(b"no picture")
    with pytest.raises(OSError, match="step_000400"):
        publish_run(run, tmp_path / "other", license="mit")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["discs", "runs"]


def test_a_run_that_is_not_finished_is_refused_with_what_to_do(run, tmp_path):
    record = Evaluation.load(run)
    content = json.loads((run / "evaluation.json").read_text())
    (run / "evaluation.json").write_text(json.dumps(content | {"finished": False}))
    with pytest.raises(ValueError, match=r"a finished run .* step 400 of 400.*--resume="):
        publish_run(run, tmp_path / "discs", license="mit")
    assert record.finished


def test_a_run_without_an_adapter_is_refused(run, tmp_path):
    shutil.rmtree(run / "adapter")
    with pytest.raises(FileNotFoundError, match="Expected an adapter at"):
        publish_run(run, tmp_path / "discs", license="mit")
    assert not (tmp_path / "discs").exists()


def test_what_pictures_say_of_their_making_stays_behind(run, tmp_path):
    path = run / "evaluation" / "step_000400" / "prompt_00_seed_3.png"
    said = PngInfo()
    said.add_text("parameters", "a secret /home/somebody/x")
    with Image.open(path) as picture:
        pixels = picture.copy()
    pixels.save(path, pnginfo=said)
    folder = publish_run(run, tmp_path / "discs", license="mit")
    with Image.open(folder / "images" / path.name) as copy:
        assert copy.info == {}
        assert copy.tobytes() == pixels.tobytes()


def test_a_header_that_names_a_place_is_refused(run, tmp_path):
    adapter = run / "adapter" / "best" / "pytorch_lora_weights.safetensors"
    tensors = {"unet.a.lora.down.weight": torch.zeros(2, 2), "unet.a.lora.up.weight": torch.ones(2)}
    tensor_file.write(adapter, tensors, {"ss_dataset_dirs": '{"/home/somebody/photos": 3}'})
    with pytest.raises(ValueError, match="says `/home/somebody`, a user's folder"):
        publish_run(run, tmp_path / "discs", license="mit")
    assert not (tmp_path / "discs").exists()


def test_a_base_in_a_folder_is_named_by_its_last_part(run, tmp_path):
    content = json.loads((run / "evaluation.json").read_text())
    base = tmp_path / "bases" / "sd15.safetensors"
    content["base"]["source"] = str(base)
    (run / "evaluation.json").write_text(json.dumps(content))
    text = (publish_run(run, tmp_path / "a", license="mit") / "README.md").read_text()
    assert str(tmp_path) not in text
    assert "sd15.safetensors" in text
    assert "base_model" not in front_matter(tmp_path / "a")
    publish_run(run, tmp_path / "b", license="mit", base_model="owner/sd15")
    assert front_matter(tmp_path / "b")["base_model"] == "owner/sd15"


def test_trigger_words_come_from_the_header(run, tmp_path):
    adapter = run / "adapter" / "best" / "pytorch_lora_weights.safetensors"
    tensors = {"unet.a.lora.down.weight": torch.zeros(2, 2), "unet.a.lora.up.weight": torch.ones(2)}
    fields = {"subject": ["qqq robot", "robot"], "class": ["robot", "robot"]}
    tensor_file.write(
        adapter, tensors, {"sdtune.prompt_fields": json.dumps(fields), "sdtune.rank": "16"}
    )
    folder = publish_run(run, tmp_path / "discs", license="mit")
    assert front_matter(folder)["instance_prompt"] == "qqq robot"
    text = (folder / "README.md").read_text()
    assert "A prompt has to say `qqq robot`." in text
    assert "| rank | 16 |" in text


def test_private_words_are_found_in_texts_and_named(tmp_path):
    (tmp_path / "a.json").write_text('{"base": "C:\\\\Users\\\\ann\\\\sd15"}')
    (tmp_path / "b.md").write_text("from /srv/here/x")
    (tmp_path / "c.md").write_text("all is well, /homeland/x")
    assert list(private_words(tmp_path, {"/srv/here": "the folder"})) == [
        "a.json says `C:\\\\Users\\\\ann`, a user's folder",
        "b.md says `/srv/here`, the folder",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to=x"], "Expected `--license` to be given"),
        (["--to=x", "--license=CC BY"], "Expected `--license` to be a licence by the hub's name"),
        (["--to=x", "--license=mti"], "but got `mti`; did you mean `mit`?"),
        (["--to=x", "--license=MIT"], "but got `MIT`; did you mean `mit`?"),
        (["--to=x", "--license=other"], "come with `--license_name`, one word such as my-license"),
        (["--to=x", "--license=mit", "--license_name=x"], "with `--license other` alone"),
        (["--to=.", "--license=mit"], "Expected `--to` to name a new folder"),
        (["--to=x", "--license=mit", "--base_model=sd15"], "Expected `--base_model` to be a hub's"),
    ],
)
def test_wrong_calls_are_refused(words, said, run, monkeypatch, capsys):
    monkeypatch.chdir(run)
    assert main(["publish", str(run), *words]) == 2
    assert said in capsys.readouterr().err


def test_the_command_says_how_to_upload(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["publish", str(run), "--to", "discs", "--license", "mit"]) == 0
    assert "hf upload OWNER/discs discs" in capsys.readouterr().out
    assert main(["publish", str(run), "--to", "pub é pub", "--license", "mit"]) == 0
    assert "hf upload OWNER/pub-e-pub 'pub é pub'" in capsys.readouterr().out
    words = ["--to", "named", "--license", "other", "--license_name", "my-own"]
    assert main(["publish", str(run), *words]) == 0
    front = (tmp_path / "named" / "README.md").read_text()
    assert "\nlicense: other\nlicense_name: my-own\n" in front
    assert main(["publish", str(tmp_path), "--to", "x", "--license", "mit"]) == 2
    assert "Expected a run folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("style_1.0", "style_1.0"),
        ("pub é pub é", "pub-e-pub-e"),
        ("-a--b..c-.git", "a-b.c"),
        ("a.git.git", "a"),
        ("絵", "NAME"),
        ("x" * 95 + ".y", "x" * 95),
    ],
)
def test_a_name_is_one_that_the_hub_takes(folder, name):
    assert hub_name(folder) == name
    validate_repo_id(f"OWNER/{name}")


@pytest.mark.parametrize("place", ["samples", "adapter/best/peft/unet", "evaluation"])
def test_what_a_link_leads_to_is_not_published(place, run, tmp_path):
    private = tmp_path / "private.png"
    Image.new("RGB", (8, 8)).save(private)
    (run / place).mkdir(parents=True, exist_ok=True)
    (run / place / "step_999999.png").symlink_to(private)
    with pytest.raises(ValueError, match=r"step_999999\.png to be in the run's folder, but"):
        publish_run(run, tmp_path / "out", license="mit")
    assert not (tmp_path / "out").exists()


def test_a_link_that_would_lead_elsewhere_once_copied_is_refused(run, tmp_path):
    (run / "adapter" / "best" / "peft").mkdir(exist_ok=True)
    (run / "adapter" / "best" / "peft" / "card").symlink_to(run / "report.html")
    with pytest.raises(ValueError, match="card to be a file, but it is a link"):
        publish_run(run, tmp_path / "out", license="mit")


def test_a_sample_that_is_no_picture_is_named(run, tmp_path):
    (run / "samples").mkdir(exist_ok=True)
    (run / "samples" / "step_999999.png").write_text("root:x:0:0")
    with pytest.raises(OSError, match=r"step_999999\.png to be a PNG, but it is none"):
        publish_run(run, tmp_path / "out", license="mit")
