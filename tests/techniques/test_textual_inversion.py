"""TextualInversionModule: the word's rows move, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sdtune.adapters.words import find_token_embeddings, remove_token_embeddings
from sdtune.data.style import StyleDataModule
from sdtune.data.subject import SubjectDataModule
from sdtune.models import load, sample
from sdtune.techniques.textual_inversion import TextualInversionModule
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer


@pytest.fixture
def data(tmp_path: Path) -> SubjectDataModule:
    folder = make_picture_folder(tmp_path / "discs")
    return SubjectDataModule(
        folder,
        instance_prompt="<disc>",
        prompt_templates="object",
        resolution=64,
        batch_size=2,
        cache_dir=str(tmp_path / "cache"),
    )


def _module(base: Path, **arguments: object) -> TextualInversionModule:
    arguments = {"initializer_token": "c", "learning_rate": 1e-2, **arguments}
    return TextualInversionModule("<disc>", base=str(base), **arguments)


def _batch(captions: Sequence[str]) -> dict:
    generator = torch.Generator().manual_seed(0)
    moments = torch.randn(len(captions), 8, 8, 8, generator=generator)
    return {"moments": moments, "caption": list(captions), "index": list(range(len(captions)))}


def _table(module: TextualInversionModule) -> Tensor:
    return find_token_embeddings(module.model)[0].frozen_table.weight.detach().clone()


def test_only_the_new_rows_are_parameters_and_in_the_optimizer(
    micro_sd: Path, data: SubjectDataModule
) -> None:
    module = _module(micro_sd, num_vectors=3, weight_decay=0.1)
    module.load_base()
    before, rows = _table(module), module.words.rows(module.model)[0].detach().clone()
    trainer = quiet_trainer(max_steps=3)
    trainer.fit(module, data)
    assert sum(p.numel() for p in module.parameters() if p.requires_grad) == 3 * 16
    assert _table(module).equal(before)
    assert (module.words.rows(module.model)[0] - rows).abs().min(dim=1).values.min() > 0
    [state] = trainer.optimizers[0].state.values()
    assert state["exp_avg"].shape == (3, 16)
    assert find_token_embeddings(module.model)[0].frozen_table.weight.grad is None
    assert list(module.state_dict()) == [
        next(name for name, p in module.named_parameters() if p.requires_grad)
    ]


@pytest.mark.slow
def test_a_word_is_learned_for_every_text_encoder(
    shallow_xl: Path, data: SubjectDataModule
) -> None:
    module = _module(
        shallow_xl, initializer_token="c d", num_vectors=2, embedding_norm="initializer"
    )
    module.load_base()
    before = [rows.detach().clone() for rows in module.words.rows(module.model)]
    assert [rows.shape for rows in before] == [(2, 16), (2, 32)]
    quiet_trainer(max_steps=2).fit(module, data)
    for rows, old in zip(module.words.rows(module.model), before, strict=True):
        assert (rows - old).abs().min(dim=1).values.min() > 0
        torch.testing.assert_close(rows.norm(dim=1), old.norm(dim=1))
    assert [vectors.shape for vectors in module.adapter().adapters[0].vectors] == [(2, 16), (2, 32)]
    base = load(shallow_xl)
    assert module.model.fingerprint("text_encoders") == base.fingerprint("text_encoders")
    prompts = [f"a {word} on the moon" for word in ("<disc>", "c d")]
    learned, read = (
        module.generate(prompts[:1], [0], num_inference_steps=2, use_adapter=use_adapter)
        for use_adapter in (True, False)
    )
    assert torch.equal(read, sample(base, prompts[1:], seeds=[0], num_inference_steps=2))
    assert (learned - read).abs().max() > 1e-3
    remove_token_embeddings(module.model)
    assert module.model.state_dict().keys() == base.state_dict().keys()
    assert [len(each) for each in module.model.tokenizers] == [len(t) for t in base.tokenizers]


@pytest.mark.parametrize("embedding_norm", ["table", "initializer"])
def test_rows_keep_a_norm(embedding_norm: str, micro_sd: Path, data: SubjectDataModule) -> None:
    module = _module(micro_sd, embedding_norm=embedding_norm, num_vectors=2, learning_rate=0.1)
    module.load_base()
    initial = module.words.rows(module.model)[0].norm(dim=1)
    if embedding_norm == "table":
        torch.testing.assert_close(initial, _table(module).norm(dim=1).mean().expand(2))
    quiet_trainer(max_steps=2).fit(module, data)
    torch.testing.assert_close(module.words.rows(module.model)[0].norm(dim=1), initial)


def test_free_rows_follow_the_gradient(micro_sd: Path, data: SubjectDataModule) -> None:
    module = _module(micro_sd, learning_rate=0.1)
    module.load_base()
    initial = module.words.rows(module.model)[0].norm(dim=1)
    quiet_trainer(max_steps=2).fit(module, data)
    assert (module.words.rows(module.model)[0].norm(dim=1) - initial).abs() > 1e-3


def test_each_caption_with_the_word_is_encoded_once_and_others_never_again(
    micro_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = _module(micro_sd)
    module.load_base()
    encoded: list[list[str]] = []
    encode = module.model.encode_prompts

    def counting(prompts: Sequence[str], clip_skip: int) -> object:
        encoded.append(list(prompts))
        return encode(prompts, clip_skip)

    monkeypatch.setattr(module.model, "encode_prompts", counting)
    captions = ["a <disc>", "", "one <disc>", "a <disc>", "a cup"]
    for _ in range(2):
        rows = module._conditioning(captions).encoder_hidden_states
    assert encoded == [[""], ["a cup"], ["a <disc>", "one <disc>"], ["a <disc>", "one <disc>"]]
    expected = encode(captions, 1).encoder_hidden_states
    torch.testing.assert_close(rows, expected)


def test_a_batch_without_the_word_still_steps(micro_sd: Path) -> None:
    module = _module(micro_sd)
    module.load_base()
    module.training_step(_batch(["", "a cup"]), 0)["loss"].backward()
    assert module.words.rows(module.model)[0].grad is not None
    assert not module.words.rows(module.model)[0].grad.any()


def test_the_base_is_asked_for_the_initializers_words(micro_sd: Path) -> None:
    module = _module(micro_sd, initializer_token="c t", num_vectors=4)
    module.load_base()
    module.words.rows(module.model)[0].data += 1
    settings = {"num_inference_steps": 2, "use_adapter": False}
    base = module.generate(["a <disc> cup"], [3], **settings)
    words = module.generate(["a c t cup"], [3], **settings)
    torch.testing.assert_close(base, words, rtol=0, atol=0)
    learned = module.generate(["a <disc> cup"], [3], num_inference_steps=2)
    assert (learned - base).abs().max() > 1e-3


@pytest.mark.slow
def test_validation_loss_falls_when_the_word_is_learned(micro_sd: Path, tmp_path: Path) -> None:
    folder = make_picture_folder(tmp_path / "discs", count=6)
    data = StyleDataModule(
        str(folder),
        trigger="<disc>",
        resolution=64,
        batch_size=2,
        validation_count=2,
        cache_dir=str(tmp_path),
    )
    module = _module(micro_sd, num_vectors=4, learning_rate=0.05)
    (before,) = quiet_trainer().validate(module, data, verbose=False)
    quiet_trainer(max_steps=60, limit_val_batches=0).fit(module, data)
    (after,) = quiet_trainer().validate(module, data, verbose=False)
    assert after["val/loss"] < before["val/loss"]


def test_half_precision_keeps_the_rows_in_float32(micro_sd: Path, data: SubjectDataModule) -> None:
    module = _module(micro_sd)
    quiet_trainer(precision="bf16-mixed").fit(module, data)
    assert module.model.dtype == torch.bfloat16
    assert module.words.rows(module.model)[0].dtype == torch.float32


def test_captions_without_the_word_are_an_error_before_training(
    micro_sd: Path, tmp_path: Path
) -> None:
    folder = make_picture_folder(tmp_path / "discs")
    data = StyleDataModule(str(folder), resolution=64, cache_dir=str(tmp_path))
    module = _module(micro_sd)
    message = r"captions that hold `<disc>`, but none of 4 does, such as 'a red disc'"
    with pytest.raises(ValueError, match=message):
        quiet_trainer().fit(module, data)
    assert module.global_step == 0


def test_gradient_checkpointing_changes_no_gradient(micro_sd: Path) -> None:
    gradients = []
    for gradient_checkpointing in (False, True):
        module = _module(micro_sd, gradient_checkpointing=gradient_checkpointing)
        module.load_base()
        module.training_step(_batch(["a <disc>", "one <disc>"]), 0)["loss"].backward()
        gradients.append(module.words.rows(module.model)[0].grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_vectors": 9}, "`num_vectors` to be an integer from 1 to 8, but got 9"),
        ({"initializer_token": ""}, "`initializer_token` to be a word"),
        ({"embedding_norm": "unit"}, "`embedding_norm` to be one of"),
        ({"learning_rate": 0.0}, "`learning_rate` to be a positive number"),
        ({"initializer_token": "cat"}, "`initializer_token` to be 1 token .* `cat` is 3"),
    ],
)
def test_bad_arguments_are_refused_before_weights_load(
    arguments: dict, message: str, micro_sd: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        _module(micro_sd, **arguments)


def test_all_bad_arguments_are_listed_at_once() -> None:
    with pytest.raises(ValueError, match="angle brackets") as caught:
        TextualInversionModule("erica", "", base="no such base", num_vectors=0, learning_rate=-1.0)
    assert len(str(caught.value).splitlines()) == 5
