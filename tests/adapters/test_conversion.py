from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sdtune.adapters import registry
from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.conversion import convert_adapters, find_adapters
from sdtune.adapters.inspection import inspect_adapter
from sdtune.adapters.keys_values import CrossAttentionAdapter, add_tuned_projections
from sdtune.adapters.lora import LoRAAdapter, add_lora
from sdtune.adapters.lora.kohya_format import KohyaFormat
from sdtune.adapters.lora.kohya_header import HASH_KEYS
from sdtune.adapters.lora_tools import merge_loras, resize_lora
from sdtune.adapters.pipeline import find_adapter_files, load_adapter, load_pipeline
from sdtune.adapters.words import TokenEmbeddingAdapter, add_token_embedding
from sdtune.files import tensor_file
from sdtune.models import load


@pytest.fixture
def saved(model, train, tmp_path: Path) -> Path:
    """A run's folder with an adapter, one of an earlier step and the best."""
    add_lora(model, rank=3, alpha=0.7, target_modules=["to_q", "conv1", "fc1"], text_encoder=True)
    for name in ("adapter/step_000200", "adapter/best", "adapter"):
        train(model)
        adapters = AdapterSet(LoRAAdapter.from_model(model))
        adapters.save(tmp_path / "run" / name, {"sdtune.steps": name})
    return tmp_path / "run"


def test_every_checkpoint_of_a_folder_is_found_once(saved: Path) -> None:
    found = find_adapters(saved)
    assert [str(each) for each in found] == [".", "best", "step_000200"]
    assert found[Path("best")] == [saved / "adapter/best/pytorch_lora_weights.safetensors"]


def test_formats_go_round_without_a_bit_lost(saved: Path, micro_sd: Path, tmp_path: Path) -> None:
    path = saved / "adapter" / "pytorch_lora_weights.safetensors"
    first = load_file(path)
    for to in ("kohya", "PEFT", "diffusers"):
        [path] = convert_adapters(path, to, tmp_path / to, micro_sd).values()
    again = load_file(path)
    assert again.keys() == first.keys()
    assert all(torch.equal(again[name], first[name]) for name in first)
    assert registry.recognise(path).metadata(path)["sdtune.steps"] == "adapter"


@pytest.mark.slow
def test_a_folder_of_checkpoints_is_converted_as_a_whole(
    saved: Path, micro_sd: Path, tmp_path: Path
) -> None:
    written = convert_adapters(saved, "kohya", tmp_path / "out", micro_sd)
    files = [path.relative_to(tmp_path / "out").as_posix() for path in written.values()]
    assert files == [
        "kohya_lora.safetensors",
        "best/kohya_lora.safetensors",
        "step_000200/kohya_lora.safetensors",
    ]
    with pytest.raises(ValueError, match=r"to be a folder, for .* holds 3 adapters"):
        convert_adapters(saved, "kohya", tmp_path / "one.safetensors", micro_sd)


def test_one_file_is_named_by_the_user(saved: Path, base, micro_sd: Path, tmp_path: Path) -> None:
    source = saved / "adapter" / "pytorch_lora_weights.safetensors"
    convert_adapters(source, "kohya", tmp_path / "erica.safetensors", micro_sd)
    form = registry.recognise(tmp_path / "erica.safetensors")
    assert form.name == "kohya"
    with pytest.raises(ValueError, match="to be a folder, for the adapter is a folder in the peft"):
        convert_adapters(source, "peft", tmp_path / "other.safetensors", micro_sd)


def test_a_header_leads_out_of_no_folder(saved: Path, micro_sd: Path, tmp_path: Path) -> None:
    source = saved / "adapter" / "kohya_lora.safetensors"
    victim = tmp_path / "victim.safetensors"
    tensor_file.write(victim, {"own": torch.ones(1)}, {})
    content = victim.read_bytes()
    strange = tmp_path / "strange.safetensors"
    save_file(load_file(source), strange, {"ss_output_name": str(victim.with_suffix(""))})
    written = convert_adapters(strange, "kohya", tmp_path / "out", micro_sd)
    assert list(written.values()) == [tmp_path / "out" / victim.name]
    assert victim.read_bytes() == content
    assert tensor_file.read_metadata(written[Path()])["ss_output_name"] == "victim"
    (tmp_path / "out" / victim.name).write_text("somebody's")
    with pytest.raises(FileExistsError, match="that sdtune did not write"):
        convert_adapters(strange, "kohya", tmp_path / "out", micro_sd)


def test_words_go_with_their_lora(model, micro_sd: Path, tmp_path: Path) -> None:
    for word in ("<one>", "<two>"):
        add_token_embedding(model, word, "c")
    add_lora(model, rank=2, alpha=2.0)
    words = [TokenEmbeddingAdapter.from_model(model, word) for word in ("<one>", "<two>")]
    AdapterSet(*words, LoRAAdapter.from_model(model)).save(tmp_path / "in")
    convert_adapters(tmp_path / "in", "kohya", tmp_path / "out", micro_sd)
    vocabulary = load_pipeline(micro_sd, tmp_path / "out").tokenizer.get_vocab()
    assert {"<one>", "<two>"} <= vocabulary.keys()


@pytest.mark.parametrize(
    ("file", "name", "count", "word"),
    [
        ("EasyNegative.safetensors", "emb_params", 2, "EasyNegative"),
        ("badhand.safetensors", "emb_params", 16, "badhand"),
        ("x.pt", "string_to_param.*", 1, "my-style-1500"),
    ],
)
def test_words_of_other_programs_are_as_they_are_named(
    file: str, name: str, count: int, word: str, micro_sd: Path, tmp_path: Path
) -> None:
    vectors = torch.randn(count, 16, generator=torch.Generator().manual_seed(0))
    path = tmp_path / file
    if path.suffix == ".pt":
        torch.save({"string_to_param": {"*": vectors}, "name": word}, path)
    else:
        save_file({name: vectors}, path)
    [written] = convert_adapters(path, "diffusers", tmp_path / "out", micro_sd).values()
    [found] = registry.read_words([written])
    assert found.placeholder_token == word
    assert torch.equal(found.vectors[0], vectors)
    use = registry.recognise(written).use("diffusers", written, "mine")
    assert use.words == ({word: f"{word} {word}_1"} if word == "EasyNegative" else {})


def test_a_word_in_the_file_of_a_lora_is_put_beside_it(
    saved: Path, micro_sd: Path, tmp_path: Path
) -> None:
    vectors = torch.ones(2, 16)
    tensors = load_file(saved / "adapter" / "kohya_lora.safetensors")
    bundle = tmp_path / "bundle.safetensors"
    save_file({**tensors, "bundle_emb.Erica.string_to_param.*": vectors}, bundle)
    convert_adapters(bundle, "diffusers", tmp_path / "out", micro_sd)
    for adapters in (
        merge_loras(micro_sd, [bundle, saved / "adapter" / "best"])[0],
        resize_lora(micro_sd, bundle, 1)[0],
    ):
        assert adapters.adapters[0].placeholder_token == "Erica"
    [found] = registry.read_words(find_adapter_files(tmp_path / "out"))
    assert found.placeholder_token == "Erica"
    assert torch.equal(found.vectors[0], vectors)


def test_a_word_that_the_base_has_or_of_another_base(micro_sd: Path, tmp_path: Path) -> None:
    for word, width, message in (
        ("<|endoftext|>", 16, "the word `<.endoftext.>` to be a new one.* give the file another"),
        ("new", 32, "`new` to be for text encoders of width 16, but it is 2 x 32"),
    ):
        path = tmp_path / "word.safetensors"
        save_file({word: torch.ones(2, width)}, path)
        with pytest.raises(ValueError, match=message):
            convert_adapters(path, "diffusers", tmp_path / "out", micro_sd)


def test_what_a_format_cannot_hold_is_refused(model, base, micro_sd: Path, tmp_path: Path) -> None:
    add_lora(model, rank=2, alpha=2.0, use_dora=True)
    AdapterSet(LoRAAdapter.from_model(model)).save(tmp_path / "dora")
    with pytest.raises(ValueError, match=r"such as diffusers.*, but kohya loses some"):
        convert_adapters(tmp_path / "dora", "kohya", tmp_path / "out", micro_sd)
    LoRAAdapter.remove(model)
    add_tuned_projections(model)
    AdapterSet(CrossAttentionAdapter.from_model(model)).save(tmp_path / "keys")
    with pytest.raises(ValueError, match=r"that holds keys and values, which is .* got `kohya`"):
        convert_adapters(tmp_path / "keys", "kohya", tmp_path / "out", "no base")
    with pytest.raises(FileNotFoundError, match="Expected an adapter at"):
        convert_adapters(tmp_path / "nowhere", "kohya", tmp_path / "out", micro_sd)
    assert not (tmp_path / "out").exists()
    assert load_adapter(base, tmp_path / "dora")
    LoRAAdapter.remove(base)


def test_hashes_of_one_files_tensors_do_not_go_into_another(
    saved: Path, micro_sd: Path, tmp_path: Path
) -> None:
    source = saved / "adapter" / "kohya_lora.safetensors"
    assert tensor_file.read_metadata(source).keys() >= HASH_KEYS
    [path] = convert_adapters(source, "diffusers", tmp_path / "diffusers", micro_sd).values()
    assert not HASH_KEYS & tensor_file.read_metadata(path).keys()
    [path] = convert_adapters(source, "PEFT", tmp_path / "PEFT", micro_sd).values()
    assert not HASH_KEYS & registry.recognise(path).metadata(path).keys()
    [path] = convert_adapters(path, "kohya", tmp_path / "again", micro_sd).values()
    [told] = inspect_adapter(path)
    assert told.notes == []
    assert told.record["sshs_model_hash"] == told.hashes["sshs_model_hash"]


def test_alpha_is_worked_into_diffusers_matrices_by_one_rounding(
    base, train, micro_sd: Path, tmp_path: Path
) -> None:
    model = copy.deepcopy(base)
    add_lora(model, rank=2, alpha=1.5, target_modules=["to_q"])
    train(model)
    kohya = tmp_path / "k.safetensors"
    KohyaFormat().write(LoRAAdapter.from_model(model), kohya, {})
    [path] = convert_adapters(kohya, "diffusers", tmp_path / "d", micro_sd).values()
    [path] = convert_adapters(path, "kohya", tmp_path / "again", micro_sd).values()
    first, again = load_file(kohya), load_file(path)
    assert again.keys() == first.keys()
    for name, tensor in first.items():
        if name.endswith("down.weight"):
            assert torch.equal(again[name], tensor)
        elif name.endswith("up.weight"):
            torch.testing.assert_close(again[name], 0.75 * tensor, rtol=6e-8, atol=0)
        else:
            assert (tensor, again[name]) == (1.5, 2.0)


@pytest.mark.slow
def test_a_lora_on_the_projection_beside_the_second_text_encoder(
    tiny_xl: Path, tmp_path: Path
) -> None:
    name, source = "lora_te2_text_projection", tmp_path / "k.safetensors"
    weight = load(tiny_xl).text_encoders[1].text_projection.weight
    down, up = torch.randn(2, weight.shape[1]), torch.randn(weight.shape[0], 2)
    tensors = {"lora_down.weight": down, "lora_up.weight": up, "alpha": torch.tensor(2.0)}
    save_file({f"{name}.{key}": each for key, each in tensors.items()}, source)
    [path] = convert_adapters(source, "diffusers", tmp_path / "d", tiny_xl).values()
    key = "text_encoder_2.text_projection.lora_linear_layer"
    assert load_file(path).keys() == {f"{key}.down.weight", f"{key}.up.weight"}
    [path] = convert_adapters(path, "kohya", tmp_path / "again", tiny_xl).values()
    again = load_file(path)
    assert again.keys() == {f"{name}.{key}" for key in tensors}
    assert torch.equal(again[f"{name}.lora_up.weight"], up)


def test_overwriting_leaves_a_configuration_that_is_not_ours(
    saved: Path, micro_sd: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "out" / "peft" / "text_encoder" / "adapter_config.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text('{"mine": true}')
    source = saved / "adapter" / "kohya_lora.safetensors"
    with pytest.raises(FileExistsError, match=re.escape(f"Expected {theirs} to be free")):
        convert_adapters(source, "peft", tmp_path / "out", micro_sd)
    assert theirs.read_text() == '{"mine": true}'
    assert not (tmp_path / "out" / "peft" / "unet").exists()
    theirs.unlink()
    for _ in range(2):  # over its own
        convert_adapters(source, "peft", tmp_path / "out", micro_sd)
