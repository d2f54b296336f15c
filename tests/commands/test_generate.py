"""Pictures drawn from the command line: where they go, what they say, and again from one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from sdtune.cli import main
from sdtune.drawing.generation_call import PrecisionChoice, SamplerChoice
from sdtune.drawing.picture_settings import read_settings
from sdtune.drawing.settings import Precision
from sdtune.models import NoiseSchedulerName
from tests.drawn_run import PROMPTS, SEEDS


@pytest.fixture(scope="session")
def run(drawn_run: Path) -> Path:
    return drawn_run


@pytest.fixture(scope="session")
def word(drawn_word: Path) -> Path:
    return drawn_word


@pytest.fixture
def generate(capsys, tmp_path, monkeypatch):
    """Return a function that runs the command: its code and the last line of what it says."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> tuple[int, list[str], str]:
        code = main(["generate", "--device", "cpu", *map(str, words)])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err

    return call


def bytes_of(path: str) -> bytes:
    return Path(path).read_bytes()


@pytest.mark.slow
def test_a_run_alone_draws_its_samples(run, generate) -> None:
    code, paths, err = generate(run)
    assert (code, err) == (0, "")
    numbers = [f"pictures/{n:04d}_seed_{seed}.png" for n, seed in enumerate(SEEDS * 2, start=1)]
    assert paths == numbers
    strip = np.asarray(Image.open(run / "samples" / "rows" / "step_000002.png"))
    tiles = [np.asarray(Image.open(path)) for path in paths]
    assert np.array_equal(np.concatenate(tiles, axis=1), strip)


@pytest.mark.slow
def test_a_picture_is_drawn_again_byte_for_byte(run, generate, tmp_path) -> None:
    shutil.copytree(run, tmp_path / "mine")
    _, paths, _ = generate(
        "mine", "--prompt", *PROMPTS, "a café", "--negative_prompt", "dark", "--steps", 2,
        "--scale", 0.7, "--sampler", "euler_a", "--seeds", 4, 5, "--guidance", 2,
    )  # fmt: skip
    assert len(paths) == 6
    for number, path in enumerate(paths):
        code, [again], err = generate("--like", path, "--output", "again")
        assert (code, err) == (0, "")
        assert again == f"again/{number + 1:04d}_seed_{4 + number % 2}.png"
        assert bytes_of(again) == bytes_of(path)
    shutil.move("mine", "elsewhere")  # found by its hash
    _, [again], _ = generate("elsewhere", "--like", paths[0], "--output", "again")
    assert bytes_of(again) == bytes_of(paths[0])
    code, _, err = generate("--like", paths[0])
    assert code == 2
    assert "to be given, for it is not at mine/adapter: name its file or run" in err


def test_what_is_given_takes_the_place_of_what_a_picture_says(run, generate) -> None:
    _, [first, *_], _ = generate(run)
    before = read_settings(Path(first))
    _, [one], _ = generate(run, "--like", first, "--scale", 0.5)
    assert read_settings(Path(one)).adapters[0].strength == 0.5
    assert bytes_of(one) != bytes_of(first)
    _, more, _ = generate(run, "--like", first, "--seeds", 8, 9, "--width", 64)
    found = [read_settings(Path(each)) for each in more]
    assert [(s.seed, s.width, s.prompt) for s in found] == [
        (8, 64, before.prompt), (9, 64, before.prompt),
    ]  # fmt: skip
    _, [other], _ = generate(run, "--checkpoint", 1, "--like", first)
    assert read_settings(Path(other)).adapters[0].sha256 != before.adapters[0].sha256


def test_words_and_a_lora_at_once_and_a_field(run, word, generate) -> None:
    code, [path], err = generate(
        run, word, "--scale", 0.5, 1, "--prompt", "a {subject}", "--steps", 2, "--height", 64
    )
    assert (code, err) == (0, "")
    settings = read_settings(Path(path))
    assert settings.prompt == "a <erica>"
    assert [each.strength for each in settings.adapters] == [0.5, 1.0]
    assert Image.open(path).size == (settings.width, settings.height) == (32, 64)
    text = Image.open(path).info["parameters"]
    assert text.startswith("a erica <lora:style_lora:0.5>\nSteps: 2, Sampler: DPM++ 2M")
    _, [plain], _ = generate(run, "--prompt", "a <erica>", "--steps", 2, "--scale", 0.5)
    assert bytes_of(plain) != bytes_of(path)


def test_the_base_alone_prompts_of_a_file_and_a_grid(micro_sd, generate, tmp_path) -> None:
    (tmp_path / "prompts.txt").write_text("a cat\na dog\n")
    words = ("--base", micro_sd, "--prompts", "prompts.txt", "--seeds", 0, 1, "--steps", 1)
    _, paths, _ = generate(*words, "--grid", "--output", "a/b")
    assert paths[-1] == "a/b/grid_0001.png"
    assert len(paths) == 5
    assert Image.open(paths[-1]).width > 4 * 128
    settings = read_settings(Path(paths[0]))
    assert settings.adapters == []
    assert settings.base.source == micro_sd.name  # no folder of this machine is told
    before = [bytes_of(path) for path in paths]
    _, more, _ = generate(*words, "--grid", "--output", "a/b")
    assert more == [
        "a/b/0005_seed_0.png", "a/b/0006_seed_1.png", "a/b/0007_seed_0.png", "a/b/0008_seed_1.png",
        "a/b/grid_0002.png",
    ]  # fmt: skip
    assert [bytes_of(path) for path in paths] == before


def test_another_base_of_the_family_is_noted(run, micro_sd, generate, tmp_path) -> None:
    other = shutil.copytree(micro_sd, tmp_path / "other")
    [weights] = (other / "unet").glob("*.safetensors")
    tensors = load_file(weights)
    tensors["conv_in.bias"] += 1
    save_file(tensors, weights, {"format": "pt"})
    code, [_], err = generate(run, "--base", other, "--prompt", "a", "--steps", 1)
    assert code == 0
    assert "was trained on another base than `other`" in err


@pytest.mark.slow
def test_an_adapter_of_another_family_is_one_sentence(run, generate, tiny_xl) -> None:
    for words in (("--base", tiny_xl), ("--base", "nano")):
        code, out, err = generate(run, *words, "--prompt", "a cat")
        assert (code, out) == (2, [])
        assert err.count("\n") == 1
    lora = run / "adapter" / "pytorch_lora_weights.safetensors"
    copied = shutil.copy(lora, "lora.safetensors")
    code, _, err = generate(copied, "--prompt", "a cat")
    assert code == 2
    assert err.endswith("; `--base` names the one that it was trained on.\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "--prompt", "a"], "Expected an adapter at nowhere"),
        (["--prompt", "a", "--scale", "1"], "one for each of 0 adapters, but got 1"),
        (["--prompt", "a", "--checkpoint", "1"], "Expected `--checkpoint` with a run folder"),
        (["--prompt", ""], "Expected `--prompt` to be a text, but one of them is empty"),
        (["--prompt", "a {subject}"], "Expected `prompt` to use no fields"),
        ([], 'Expected `--prompt "..."` or `--prompts FILE`, but neither is given'),
        (["--prompt", "a", "--steps", "0"], "`num_inference_steps` to be from 1 to 1000"),
        (["--prompt", "a", "--sampler", "euler a"], "Expected `--sampler` to be one of 'dpm++'"),
        (["--prompt", "a", "--width", "30"], "`width` to be a multiple of 8, but got 30"),
        (["--like", "gone.png"], "Expected a picture at gone.png"),
        (["--prompt", "a", "--device", "tpu9"], "Expected `device` to be"),
    ],
)
def test_a_wrong_call_is_one_sentence_and_draws_nothing(words, message, micro_sd, generate) -> None:
    code, out, err = generate(*words, "--base", micro_sd)
    assert (code, out) == (2, [])
    assert message in err
    assert err.count("\n") == 1
    assert not Path("pictures").exists()


def test_choices_are_those_of_the_library() -> None:
    assert get_args(SamplerChoice) == get_args(NoiseSchedulerName)
    assert get_args(PrecisionChoice) == get_args(Precision)
    assert all(isinstance(getattr(torch, each), torch.dtype) for each in get_args(Precision))
