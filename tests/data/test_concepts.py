from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from sdtune.data.concept import Concept
from sdtune.data.concepts import ConceptsDataModule


def _draw(prompts: list[str], seeds: list[int]) -> Tensor:
    return torch.stack([torch.full((3, 8, 8), seed % 256 / 255) for seed in seeds])


@pytest.fixture
def make_data(make_folder, tmp_path):
    folders = [make_folder(4, name="cats"), make_folder(2, name="dogs")]

    def make(*changes: dict[str, Any], **arguments: Any) -> ConceptsDataModule:
        defaults = [{"caption_replacements": {"thing": word}} for word in ("<cat>", "<dog>")]
        values = [{**one, **two} for one, two in zip(defaults, changes or ({}, {}), strict=True)]
        concepts = [Concept(folder, **each) for folder, each in zip(folders, values, strict=True)]
        settings = {"resolution": 8, "batch_size": 3, "cache_dir": tmp_path / "cache"}
        return ConceptsDataModule(concepts, **{**settings, **arguments})

    return make


def test_batches_mix_the_concepts_in_an_order_of_the_seed(make_data) -> None:
    def captions(data: ConceptsDataModule) -> list[str]:
        return [caption for batch in data.train_dataloader() for caption in batch["caption"]]

    shown = captions(make_data({}, {"repeats": 2}))
    assert sorted(shown) == [
        *(f"a drawing of <cat> {number}" for number in range(4)),
        *(f"a drawing of <dog> {number // 2}" for number in range(4)),
    ]
    assert shown == captions(make_data({}, {"repeats": 2}))
    assert shown != captions(make_data({}, {"repeats": 2}, seed=1))
    assert shown != sorted(shown)


def test_each_instance_is_beside_a_picture_of_its_own_class(make_data) -> None:
    data = make_data(
        {"class_prompt": "a cat", "class_count": 3}, {"class_prompt": "a dog", "class_count": 2}
    )
    assert data.has_class_pictures
    data.make_class_pictures(_draw, "base")
    classes = {"<cat>": "a cat", "<dog>": "a dog"}
    for batch in data.train_dataloader():
        for caption, beside in zip(batch["caption"], batch["class_caption"], strict=True):
            assert classes[caption.split()[3]] == beside
    assert data.captions()[-2:] == ["a cat", "a dog"]


def test_latents_are_those_of_each_picture(make_data) -> None:
    def encode(pixel_values: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(pixel_values, 4).repeat(1, 3, 1, 1)[:, :8]

    plain, cached = (make_data({"repeats": 2}, {}, flip=True) for _ in range(2))
    cached.cache_latents(encode, "vae")
    for index in range(len(plain.train_dataset)):
        expected, found = (data.train_dataset[1, index] for data in (plain, cached))
        assert expected["name"] == found["name"]
        torch.testing.assert_close(encode(expected["pixel_values"][None])[0], found["moments"])


def test_problems_of_all_folders_are_listed_at_once(make_data, make_folder, tmp_path) -> None:
    (tmp_path / "cats" / "01.png").write_bytes(b"no picture")
    (tmp_path / "empty").mkdir()
    data = make_data({}, {"instance_prompt": "<dog>", "caption_replacements": None})
    data.concepts[1] = Concept(tmp_path / "empty", "<dog>")
    first, second = data.problems()
    assert first.startswith(str(tmp_path / "cats" / "01.png"))
    assert second.startswith(f"{tmp_path / 'empty'}: holds no pictures")


def test_two_concepts_with_one_placeholder_are_a_problem(make_data, tmp_path) -> None:
    (problem,) = make_data({}, {"caption_replacements": {"thing": "<cat> dog"}}).problems()
    assert problem.startswith(f"{tmp_path / 'cats'} and {tmp_path / 'dogs'}: the captions of both")
    assert "`<cat>`; give each concept a word of its own" in problem
    mentioned = {"caption_replacements": {"thing": "<dog>", "0": "with <cat>"}}
    assert make_data({}, mentioned).problems() == []  # one picture that shows both


def test_bad_arguments_name_their_concept(make_data) -> None:
    with pytest.raises(ValueError, match="repeats") as caught:
        make_data({"repeats": 0}, {"class_count": 0, "prompt_templates": ["a"]})
    lines = str(caught.value).splitlines()
    assert [line[:15] for line in lines] == ["- In concept 1:", *["- In concept 2:"] * 2]
    with pytest.raises(ValueError, match=r"all concepts to have a `class_prompt`.* but 2 of 2 has"):
        make_data({"class_prompt": "a cat"}, {})
    with pytest.raises(ValueError, match="Expected `concepts` to hold one or more"):
        ConceptsDataModule([])


def test_hyperparameters_can_be_read_back_without_pickle(make_data, tmp_path) -> None:
    torch.save(dict(make_data().hparams), tmp_path / "hparams.pt")
    hparams = torch.load(tmp_path / "hparams.pt", weights_only=True)
    assert hparams["concepts"][1]["instance_dir"] == str(tmp_path / "dogs")
    assert hparams["concepts"][1]["caption_replacements"] == {"thing": "<dog>"}
