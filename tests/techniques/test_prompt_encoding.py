"""What prompts are encoded to: once, at every step, in chunks, or cut."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from sdtune.data.style import StyleDataModule
from sdtune.techniques.lora_style import LoRAStyleModule
from sdtune.techniques.textual_inversion import TextualInversionModule
from tests.equal_states import assert_equal_states
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer
from tests.techniques.small_lora import small_module

TAGS = "round, flat, even, plain, dull"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = make_picture_folder(tmp_path / "discs", count=4)
    for path in folder.glob("*.txt"):
        path.write_text(f"{path.read_text()}, {TAGS}\n{TAGS} disc")
    return folder


def _data(folder: Path, **arguments: object) -> StyleDataModule:
    return StyleDataModule(
        folder, batch_size=2, resolution=64, cache_dir=folder.parent / "cache", **arguments
    )


def _trained(base: Path, data: StyleDataModule, **arguments: object) -> LoRAStyleModule:
    module = LoRAStyleModule(str(base), rank=2, learning_rate=1e-2)
    ckpt_path = arguments.pop("ckpt_path", None)
    trainer = quiet_trainer(max_steps=5, limit_val_batches=0, **arguments)
    trainer.fit(module, data, ckpt_path=ckpt_path)
    return module


@pytest.mark.slow
def test_drawn_captions_are_the_same_in_workers_and_after_a_resume(
    micro_sd: Path, folder: Path, tmp_path: Path
) -> None:
    drawn = {"shuffle_tags": True, "tag_dropout": 0.2, "keep_tokens": 1}
    whole = _trained(micro_sd, _data(folder, **drawn))
    assert all(value.isfinite().all() for value in whole.state_dict().values())
    plain = _trained(micro_sd, _data(folder))
    others = plain.state_dict()
    assert any(not value.equal(others[name]) for name, value in whole.state_dict().items())
    module = LoRAStyleModule(str(micro_sd), rank=2, learning_rate=1e-2)
    trainer = quiet_trainer(max_steps=3, limit_val_batches=0)
    trainer.fit(module, _data(folder, **drawn))  # two steps an epoch: it stops within the second
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    resumed = _trained(micro_sd, _data(folder, **drawn), ckpt_path=tmp_path / "last.ckpt")
    assert_equal_states(resumed, whole)


@pytest.mark.slow
def test_captions_drawn_by_workers_train_the_same(micro_sd: Path, folder: Path) -> None:
    drawn = {"shuffle_tags": True, "cache_latents": False}
    alone, two = (_trained(micro_sd, _data(folder, num_workers=n, **drawn)) for n in (0, 2))
    assert_equal_states(alone, two)


def test_few_forms_are_encoded_once_and_many_at_every_step(
    micro_sd: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("sdtune.techniques.encoding.rank_zero_info", said.append)
    module = LoRAStyleModule(str(micro_sd), rank=2)
    module.load_base()
    module.trainer = quiet_trainer()
    few = _data(folder, tag_dropout=0.5, keep_tokens=4)
    module.encode_once(few)
    # 4 x (red disc, round, flat, even + any of plain, dull), and without a colour the one more
    assert said == [f"{len(few.captions())} captions that samples have are encoded once."]
    assert len(few.captions()) == 4 * 4 + 2
    with monkeypatch.context() as patch:
        patch.setattr(module, "encode", None)  # all that can be drawn is known
        for epoch in range(8):
            samples = [few.train_dataset[epoch, index]["caption"] for index in range(4)]
            module._conditioning(samples)
    many = _data(folder, shuffle_tags=True)
    assert many.draws_captions
    assert not few.draws_captions
    module.encode_once(many)
    assert "encoded at every step" in said[-1]
    known = list(module._prompts._lately)
    with torch.no_grad():
        conditioning = module._conditioning(["dull, plain", "round", "dull, plain"])
        expected = module.model.encode_prompts(["dull, plain", "round", "dull, plain"])
    assert list(module._prompts._lately) == known
    torch.testing.assert_close(conditioning.encoder_hidden_states, expected.encoder_hidden_states)


def test_a_base_with_the_same_weights_and_another_tokenizer_has_prompts_of_its_own(
    micro_sd: Path, folder: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(micro_sd, tmp_path / "other")
    path = other / "tokenizer" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pad_token": "!"}))
    data = _data(folder)
    captions = data.captions()[:2]
    for base in (micro_sd, other):
        module = small_module(base)
        module.trainer = quiet_trainer()
        module.encode_once(data)
        with torch.no_grad():
            used = module._conditioning(captions).encoder_hidden_states
            expected = module.model.encode_prompts(captions).encoder_hidden_states
        torch.testing.assert_close(used, expected)


def test_long_captions_are_remembered_at_their_own_lengths(micro_sd: Path, folder: Path) -> None:
    (folder / "disc_0.txt").write_text("a " + "x" * 100)
    (folder / "disc_1.txt").write_text("a " + "x" * 200)
    module = LoRAStyleModule(str(micro_sd), rank=2, max_prompt_chunks=3)
    module.load_base()
    module.trainer = quiet_trainer()
    data = _data(folder)
    module.encode_once(data)
    features = data.features
    module.model.max_prompt_chunks = 1
    module.encode_once(data)  # what was encoded in chunks is not found by this
    assert module._conditioning(data.captions()[:1]).encoder_hidden_states.shape[1] == 77
    module.model.max_prompt_chunks = 3
    module.encode_once(data)
    assert data.features is features
    texts = data.captions()
    lengths = [module._conditioning([text]).encoder_hidden_states.shape[1] for text in texts]
    assert sorted(set(lengths)) == [77, 154, 231]


def test_held_out_pictures_have_whole_captions_in_their_order(folder: Path) -> None:
    data = _data(
        folder,
        shuffle_tags=True,
        tag_dropout=0.5,
        validation_count=2,
        caption_prefix="sks",
        trigger="flat style",
    )
    for sample in (data.val_dataset[epoch, index] for epoch in range(5) for index in range(2)):
        assert sample["caption"].startswith("sks a ")
        assert sample["caption"].endswith(f"disc, {TAGS}, flat style")
    texts = [picture.caption for picture in data.train_dataset.originals]
    assert all(text.startswith("sks a ") and text.endswith("dull, flat style") for text in texts)


def test_what_captions_lose_is_listed_without_weights(micro_sd: Path, folder: Path) -> None:
    (folder / "disc_0.txt").write_text("a " + "x" * 80 + " end")
    module = LoRAStyleModule(str(micro_sd))
    head, line = module.notes_with(_data(folder))
    assert head.startswith("1 caption is longer than `model.max_prompt_chunks` 1 takes (75 tokens)")
    assert line.startswith("  'a xxx")
    assert line.endswith("loses 'xxxxxx end'")
    assert "model" not in module._modules
    assert LoRAStyleModule(str(micro_sd), max_prompt_chunks=2).notes_with(_data(folder)) == []
    assert module.notes_with(object()) == []


def test_a_learned_word_is_as_long_as_its_vectors(micro_sd: Path, folder: Path) -> None:
    for path in folder.glob("*.txt"):
        path.write_text("<a> " + "x" * 71)
    words = {"placeholder_token": "<a>", "initializer_token": "a"}
    four, five = (
        TextualInversionModule(base=str(micro_sd), num_vectors=number, **words) for number in (4, 5)
    )
    assert four.notes_with(_data(folder)) == []
    assert five.notes_with(_data(folder))[1].endswith("loses 'x'")


def test_chunks_reach_training_and_samples(micro_sd: Path) -> None:
    long = "y" * 100
    one, two = (small_module(micro_sd, max_prompt_chunks=chunks) for chunks in (1, 2))
    assert one._conditioning([long]).encoder_hidden_states.shape[1] == 77
    assert two._conditioning([long]).encoder_hidden_states.shape[1] == 154
    pictures = [m.generate([long], [0], num_inference_steps=1) for m in (one, two)]
    assert not torch.allclose(*pictures, atol=1e-3)
    short = [m.generate(["y"], [0], num_inference_steps=1) for m in (one, two)]
    assert torch.equal(*short)
