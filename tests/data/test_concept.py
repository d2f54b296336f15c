from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sdtune.data import concept_dataset as concept_module
from sdtune.data.concept import Concept
from sdtune.data.concept_dataset import ConceptDataset
from sdtune.data.pictures import Picture, PictureDataset


def test_a_concept_lists_all_that_is_wrong_with_its_values() -> None:
    with pytest.raises(ValueError, match="`repeats`") as caught:
        Concept("photos", instance_prompt=" ", class_prompt=[], repeats=0).check()
    assert len(str(caught.value).splitlines()) == 3


def test_samples_of_several_concepts_keep_their_places(make_folder) -> None:
    concepts = [
        Concept(make_folder(3, name="a"), "<a>", repeats=2, prompt_templates=["one {}", "two {}"]),
        Concept(make_folder(2, name="b"), caption_replacements={"thing": "<b>"}),
    ]
    pictures = [concept.scan().pictures for concept in concepts]
    dataset = ConceptDataset(concepts, pictures, resolution=8)
    samples = [dataset[0, index] for index in range(len(dataset))]
    assert [sample["index"] for sample in samples] == list(range(8))
    assert [sample["name"] for sample in samples] == [
        *("00.png", "01.png", "02.png") * 2, "00.png", "01.png"
    ]  # fmt: skip
    assert {sample["caption"] for sample in samples[:6]} == {"one <a>", "two <a>"}
    assert [sample["caption"] for sample in samples[6:]] == [
        "a drawing of <b> 0", "a drawing of <b> 1"
    ]  # fmt: skip
    assert dataset.captions_by_concept() == [
        ["one <a>", "two <a>"],
        ["a drawing of <b> 0", "a drawing of <b> 1"],
    ]
    with pytest.raises(IndexError, match="below 8, but got 8"):
        dataset[0, 8]


def test_an_order_of_class_pictures_is_drawn_once_an_epoch(monkeypatch):
    """Each costs as much as there are class pictures: a sample must not."""
    pictures = [Picture(Path(f"{n}.png"), f"{n}.png", "a", (8, 8)) for n in range(100)]
    dataset = ConceptDataset([Concept("anywhere", repeats=40)], [pictures], resolution=8)
    dataset.class_datasets = [PictureDataset(pictures[:50], resolution=8)]
    drawn = []
    order = concept_module._class_order
    monkeypatch.setattr(
        concept_module, "_class_order", lambda *key: (drawn.append(key), order(*key))[1]
    )
    shuffled = torch.randperm(4_000, generator=torch.Generator().manual_seed(0)).tolist()
    for epoch in range(3):
        found = {number: dataset._class_index(epoch, 0, number) for number in shuffled}
        for turn in range(80):  # each turn shows all of them
            assert len({found[turn * 50 + place] for place in range(50)}) == 50
    assert len(drawn) <= 3 * 80 + 80
    assert found[7] == int(order(dataset.seed, 160, 50)[7])
