from __future__ import annotations

import pytest

from sdtune.data.concept import Concept, ConceptDataset


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
