"""MultiConceptModule: a word each for several subjects, and the keys and values that read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sdtune.adapters.pipeline import find_adapter_files, load_pipeline
from sdtune.data.concept import Concept
from sdtune.data.concepts import ConceptsDataModule
from sdtune.models import load
from sdtune.techniques.multi_concept import MultiConceptModule
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer


def _module(base: Path, **changes: Any) -> MultiConceptModule:
    arguments: dict[str, Any] = {
        "placeholder_tokens": ["<disc>", "<ring>"],
        "initializer_tokens": ["c", "d"],
        "prior_loss_weight": 0,
        "embedding_learning_rate": 1e-2,
        "learning_rate": 1e-2,
    }
    return MultiConceptModule(**{**arguments, "base": str(base), **changes})


def _data(
    folder: Path,
    mixed_prompts: list[str] | None = None,
    resolution: int | None = 64,
    **changes: Any,
) -> ConceptsDataModule:
    concepts = [
        Concept(make_picture_folder(folder / name, count=2), f"a <{name}>", **changes)
        for name in ("disc", "ring")
    ]
    return ConceptsDataModule(
        concepts,
        resolution=resolution,
        batch_size=2,
        cache_dir=str(folder / "cache"),
        mixed_prompts=mixed_prompts,
        mixed_count=3,
    )


@pytest.mark.parametrize("rank", [None, 3])
def test_keys_values_and_words_alone_learn(micro_sd: Path, rank: int | None) -> None:
    module = _module(micro_sd, num_vectors=2, rank=rank)
    module.load_base()
    unet = load(micro_sd).unet
    targets = [m for n, m in unet.named_modules() if n.endswith(("attn2.to_k", "attn2.to_v"))]
    expected = sum(
        each.weight.numel() if rank is None else rank * sum(each.weight.shape) for each in targets
    )
    learned = {name: p for name, p in module.named_parameters() if p.requires_grad}
    words = sum(p.numel() for name, p in learned.items() if "rows" in name)
    assert words == 2 * 2 * 16  # two words of two vectors
    assert sum(p.numel() for p in learned.values()) == expected + words
    groups = module.parameter_groups()
    assert sum(p.numel() for group in groups for p in group["params"]) == expected + words
    assert [group["name"] for group in groups] == ["unet", "embedding"]


@pytest.mark.slow
def test_both_words_move_and_are_saved_with_what_reads_them(micro_sd: Path, tmp_path: Path) -> None:
    module = _module(micro_sd)
    module.load_base()
    before = [rows.detach().clone() for rows in module.words.rows(module.model)]
    quiet_trainer(max_steps=2).fit(module, _data(tmp_path))
    for rows, old in zip(module.words.rows(module.model), before, strict=True):
        assert (rows - old).abs().max() > 1e-3
    path = module.adapter().save(tmp_path / "adapter", module.adapter_metadata())
    module.adapter().verify(path, module.model)
    names = [each.name for each in find_adapter_files(tmp_path / "adapter")]
    assert names == ["learned_embeds_1.safetensors", "learned_embeds_2.safetensors", path.name]
    pipeline = load_pipeline(micro_sd, path)
    assert {"<disc>", "<ring>"} <= pipeline.tokenizer.get_vocab().keys()


def test_prior_preservation_is_per_concept(micro_sd: Path, tmp_path: Path) -> None:
    module = _module(micro_sd, prior_loss_weight=0.5, class_inference_steps=1)
    data = _data(tmp_path, class_prompt="a shape", class_count=2)
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(module, data)
    metrics = {name: float(value) for name, value in trainer.logged_metrics.items()}
    total = metrics["train/instance_loss"] + 0.5 * metrics["train/class_loss"]
    assert metrics["train/loss"] == pytest.approx(total, rel=1e-6)


def test_mixed_pictures_are_learned_from_like_all_others(micro_sd: Path, tmp_path: Path) -> None:
    prompts = ["a <disc> by a <ring>", "a <ring> by a <disc>"]
    data = _data(tmp_path, prompts, resolution=None, class_prompt="a shape", class_count=2)
    module = _module(micro_sd, class_inference_steps=1, prior_loss_weight=1.0)
    assert module.problems_with(data) == []
    trainer = quiet_trainer(max_steps=4)  # an epoch of 2 + 2 + 3 pictures
    trainer.fit(module, data)
    train = data.train_dataset
    assert len(train) == 7
    assert train.encoded is not None
    for index in range(7):
        sample = train[0, index]
        assert sample["moments"].shape == sample["class_moments"].shape
    captions = [train[0, index]["caption"] for index in range(4, 7)]
    assert captions == [prompts[0], prompts[1], prompts[0]]
    assert {each.path.parent.parent.name for each in train.pictures[4:]} == {"mixed_pictures"}


def test_the_untuned_base_reads_the_initializers(micro_sd: Path) -> None:
    module = _module(micro_sd)
    module.load_base()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.mul_(3.0)
    drawn = [
        module.generate([text], [0], num_inference_steps=1, use_adapter=tuned)
        for text, tuned in (("a <disc> d", False), ("a c d", False), ("a c d", True))
    ]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.allclose(drawn[1], drawn[2], atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"placeholder_tokens": ["<a>", "<a>"]}, "of its own for each subject, but got `<a>` more"),
        ({"placeholder_tokens": ["<a>"]}, "a word each for every subject, but got 1 and 2"),
        ({"placeholder_tokens": ["<|endoftext|>", "<a>"]}, "is in the vocabulary already"),
        ({"initializer_tokens": ["c", "cat"]}, "to be 1 token for `num_vectors` 1, but `cat` is 3"),
        ({"rank": 0}, "`rank` to be a positive integer, but got 0"),
        ({"prior_loss_weight": -1}, "`prior_loss_weight` to be 0 or more"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict, message: str, micro_sd: Path) -> None:
    with pytest.raises(ValueError, match=message.replace("|", r"\|")):
        _module(micro_sd, **arguments)


def test_all_that_is_wrong_is_said_at_once(micro_sd: Path) -> None:
    with pytest.raises(ValueError, match="vocabulary") as caught:
        _module(
            micro_sd,
            placeholder_tokens=["<|endoftext|>", "<a>", "<a>"],
            initializer_tokens=["c", "cat", "d"],
            learning_rate=0,
        )
    assert len(str(caught.value).splitlines()) == 4


def test_a_word_that_no_caption_holds_is_a_problem(micro_sd: Path, tmp_path: Path) -> None:
    module = _module(micro_sd, placeholder_tokens=["<disc>", "<square>"])
    (problem,) = module.problems_with(_data(tmp_path))
    assert problem.startswith("Expected captions that hold `<square>`, but none of 2 does")
