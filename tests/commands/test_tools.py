"""The commands that read and make files of adapters: what they print, write and refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sdtune.adapters.adapter_files import header_of
from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.lora import LoRAAdapter, add_lora, lora_parameters
from sdtune.adapters.merging import are_subjects
from sdtune.adapters.pipeline import find_adapter_files
from sdtune.adapters.registry import read_words, recognise
from sdtune.adapters.words.adapter import TokenEmbeddingAdapter
from sdtune.adapters.words.layers import add_token_embedding
from sdtune.cli import COMMANDS, main
from sdtune.commands.tools import base_of
from sdtune.models import check_base, load


@pytest.fixture(scope="module")
def micro(micro_sd: Path) -> str:
    return str(micro_sd)


@pytest.fixture(scope="module")
def lora(micro: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    model = load(micro)
    add_lora(model, rank=3, alpha=1.5, text_encoder=True)
    with torch.no_grad():
        for parameter in lora_parameters(model):
            parameter += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    folder = tmp_path_factory.mktemp("lora")
    AdapterSet(LoRAAdapter.from_model(model)).save(folder, {"sdtune.steps": "200"})
    return str(folder / "pytorch_lora_weights.safetensors")


def test_an_adapter_is_described(lora: str, capsys) -> None:
    assert main(["inspect", lora]) == 0
    shown = capsys.readouterr().out
    assert "format   LoRA (diffusers)" in shown
    assert "LoRA rank 3, alpha 3" in shown
    assert "sdtune.steps: 200" in shown
    assert main(["inspect", lora, "--json"]) == 0
    [file] = json.loads(capsys.readouterr().out)
    assert sum(layer["count"] for layer in file["layers"]) == file["tensors"] / 2


def test_a_header_moves_no_cursor(lora: str, tmp_path: Path, capsys) -> None:
    path = tmp_path / "lora.safetensors"
    save_file(load_file(lora), path, {"title": "\x1b[2Jall is well\x07"})
    assert main(["inspect", str(path)]) == 0
    assert r"title: \x1b[2Jall is well\x07" in capsys.readouterr().out


def test_an_adapter_is_converted_and_nothing_overwritten(
    lora: str, micro: str, tmp_path: Path, capsys
) -> None:
    output = tmp_path / "erica.safetensors"
    words = ["convert", lora, "--to", "kohya", "--output", str(output), "--base", micro]
    assert main(words) == 0
    assert capsys.readouterr().out.strip() == str(output)
    assert recognise(output).name == "kohya"
    before = output.read_bytes()
    assert main(words) == 2
    assert "is there: choose another, or give `--overwrite`" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    assert output.read_bytes() == before
    assert main(["convert", lora, "--to", "flux", "--output", "a"]) == 2
    assert "Expected `--to` to be one of" in capsys.readouterr().err


@pytest.mark.slow
def test_loras_are_merged_resized_and_worked_in(
    lora: str, micro: str, tmp_path: Path, capsys
) -> None:
    both, small, whole = (str(tmp_path / name) for name in ("both", "small.safetensors", "whole"))
    common = ["--base", micro, "--output"]
    assert main(["merge", lora, lora, "--weights", "0.5", "-0.25", *common, both]) == 0
    assert "kept" not in capsys.readouterr().out
    assert main(["resize", both, "--rank", "2", *common, small]) == 0
    shown = capsys.readouterr().out
    assert "rank:        2 (" in shown
    assert "% of the squared change" in shown
    assert recognise(small).name == "kohya"
    assert main(["merge", small, "--into_base", "--dtype", "float16", *common, whole]) == 0
    check_base(whole)
    extracted = str(tmp_path / "extracted")
    assert main(["extract", micro, whole, "--rank", "2", "--output", extracted]) == 0
    kept = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("kept"))
    assert float(kept.split()[1].rstrip("%")) > 99
    assert (tmp_path / "extracted" / "kohya_lora.safetensors").is_file()


@pytest.mark.slow
def test_what_is_made_of_a_lora_is_drawn_as_it_is(lora: str, micro: str, tmp_path: Path) -> None:
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    told = {"sdtune.clip_skip": "2", "sdtune.prompt_fields": '{"trigger": "ink"}'}
    save_file(load_file(lora), one, told)
    save_file(load_file(lora), other, {"ss_clip_skip": "None", "ss_max_token_length": "225"})
    common = ["--base", micro, "--output"]
    assert main(["resize", str(one), "--rank", "2", *common, str(tmp_path / "small")]) == 0
    assert main(["extract", micro, str(one), "--rank", "2", "--output", str(tmp_path / "out")]) == 0
    for name in ("small", "out"):
        header = header_of(tmp_path / name)
        assert {key: header[key] for key in told} == told
    assert main(["merge", str(one), str(other), *common, str(tmp_path / "both")]) == 0
    header = header_of(tmp_path / "both")
    assert header["sdtune.clip_skip"] == "2"
    assert header["sdtune.max_prompt_chunks"] == "3"
    assert "sdtune.prompt_fields" not in header


@pytest.mark.parametrize("is_bundled", [False, True], ids=["folders", "bundles"])
def test_loras_with_words_are_added(
    lora: str, micro: str, tmp_path: Path, is_bundled: bool
) -> None:
    paths = [tmp_path / "erica", tmp_path / "disc"]
    for path in paths:
        model = load(micro)
        add_token_embedding(model, f"<{path.name}>", "a")
        word = TokenEmbeddingAdapter.from_model(model)
        add_lora(model, rank=2, alpha=2.0, target_modules=["to_q"])
        AdapterSet(word, LoRAAdapter.from_model(model)).save(path)
        if is_bundled:
            tensors = load_file(path / "kohya_lora.safetensors")
            tensors[f"bundle_emb.{path.name}.string_to_param.*"] = word.vectors[0]
            shutil.rmtree(path)
            save_file(tensors, path.with_suffix(".safetensors"))
    given = [str(each.with_suffix(".safetensors" if is_bundled else "")) for each in paths]
    output = tmp_path / "both"
    assert not are_subjects(given)
    assert main(["merge", *given, "--base", micro, "--output", str(output)]) == 0
    words = read_words(find_adapter_files(output))
    assert [each.placeholder_token.strip("<>") for each in words] == ["erica", "disc"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["merge", "a", "b", "--weights", "1", "--output", "c"], "one for each of 2 adapters"),
        (["merge", "a", "--into_base", "--rank", "2", "--output", "c"], "`--rank` without"),
        (["merge", "a", "--dtype", "float16", "--output", "c"], "`--dtype` with `--into_base`"),
        (["resize", "a", "--output", "c"], "Expected `rank` or `share` to be given"),
        (["extract", "nano", "nowhere", "--rank", "1", "--output", "c"], "Expected `base` to be"),
        (["inspect", "nowhere"], "Expected an adapter at nowhere"),
        (["convert", "nowhere", "--to", "kohya", "--output", "c"], "Expected an adapter at"),
    ],
)
def test_a_wrong_call_is_one_sentence(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_base_is_that_of_the_run(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "style" / "version_0"
    adapter = run / "adapter" / "best"
    adapter.mkdir(parents=True)
    assert base_of(adapter, None) == "nano"
    (run / "config.yaml").write_text("model:\n  init_args:\n    base: owner/name\n")
    assert base_of(adapter, None) == "owner/name"
    assert base_of(run, None) == "owner/name"
    assert base_of(run, "mine") == "mine"
    (run / "config.yaml").write_text("model: [\n")
    assert base_of(run, None) == "nano"


def test_all_tools_are_commands() -> None:
    assert {"inspect", "convert", "merge", "resize", "extract"} <= COMMANDS.keys()
