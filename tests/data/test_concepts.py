from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from sdtune.data.concept import Concept
from sdtune.data.concepts import ConceptsDataModule
from sdtune.data.problems import DataError

_MIXED = ["a <cat> next to a <dog>", "a <dog> left of a <cat>", "a <dog> next to a <cat>"]


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


def test_mixed_pictures_are_one_more_concept(make_data, tmp_path) -> None:
    data = make_data(mixed_prompts=_MIXED, mixed_count=5, mixed_repeats=2)
    assert data.problems() == []
    data.setup()
    assert not (
        tmp_path / "cache" / "mixed_pictures"
    ).exists()  # composed when they are first asked for
    train = data.train_dataset
    assert len(train) == 4 + 2 + 2 * 5
    samples = [train[1, index] for index in range(len(train))]
    captions = [_MIXED[number % 3] for number in range(5)]
    assert [each["caption"] for each in samples[6:]] == captions * 2
    assert [each["name"] for each in samples[6:8]] == ["mixed_000000.png", "mixed_000001.png"]
    assert data.captions()[-3:] == _MIXED
    assert len(train.originals) == 6
    assert all(each.path.is_file() for each in train.pictures)
    shown = [name for batch in data.train_dataloader() for name in batch["name"]]
    assert len(shown) == 16
    assert shown.count("mixed_000004.png") == 2


def test_the_subject_that_is_named_first_stands_left(make_data, tmp_path) -> None:
    for number, name in enumerate(("cats", "dogs")):
        for path in (tmp_path / name).glob("*.png"):
            Image.new("RGB", (24, 16), ("black", "white")[number]).save(path)
    train = make_data(mixed_prompts=_MIXED, mixed_count=6, flip=True).train_dataset
    for epoch in range(3):
        for index in range(6, 12):
            sample = train[epoch, index]
            left, right = (-1, 1) if sample["caption"].startswith("a <cat>") else (1, -1)
            assert (sample["pixel_values"][:, :, :4] == left).all()
            assert (sample["pixel_values"][:, :, 4:] == right).all()


def test_without_mixed_prompts_order_and_pictures_are_as_they_were(make_data) -> None:
    def shown(data: ConceptsDataModule) -> list[tuple[str, str, int]]:
        batches = list(data.train_dataloader())
        return [
            each
            for batch in batches
            for each in zip(batch["name"], batch["caption"], batch["index"], strict=True)
        ]

    plain = shown(make_data({"repeats": 2}, {"repeats": 3}))
    assert [index for _, _, index in plain] == [1, 5, 2, 9, 10, 8, 4, 12, 7, 3, 6, 0, 11, 13]
    assert plain == shown(make_data({"repeats": 2}, {"repeats": 3}, mixed_count=3))
    mixed = make_data(mixed_prompts=_MIXED)
    samples = [mixed.train_dataset[2, index] for index in range(6)]
    for index, sample in enumerate(samples):  # those of the subjects themselves do not change
        alone = make_data().train_dataset[2, index]
        assert torch.equal(sample.pop("pixel_values"), alone.pop("pixel_values"))
        assert sample == alone


def test_a_class_picture_is_beside_each_mixed_one_too(make_data) -> None:
    data = make_data(
        {"class_prompt": "a cat", "class_count": 3},
        {"class_prompt": "a dog", "class_count": 2},
        mixed_prompts=_MIXED,
        mixed_count=5,
    )
    assert data.has_class_pictures
    data.make_class_pictures(_draw, "base")
    classes = {"<cat>": "a cat", "<dog>": "a dog"}
    beside = []
    for batch in data.train_dataloader():
        assert len(batch["caption"]) == len(batch["class_caption"])
        assert batch["pixel_values"].shape == batch["class_pixel_values"].shape
        for caption, class_caption in zip(batch["caption"], batch["class_caption"], strict=True):
            if caption in _MIXED:
                beside.append(class_caption)
            else:
                assert classes[caption.split()[3]] == class_caption
    assert sorted(beside) == ["a cat"] * 3 + ["a dog"] * 2  # each picture of either class once
    assert data.captions()[-2:] == ["a cat", "a dog"]


def test_latents_are_those_of_the_mixed_pictures(make_data) -> None:
    def encode(pixel_values: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(pixel_values, 4).repeat(1, 3, 1, 1)[:, :8]

    plain, cached = (
        make_data(
            {"class_prompt": "a cat", "class_count": 3},
            {"class_prompt": "a dog", "class_count": 2},
            flip=True,
            mixed_prompts=_MIXED,
            mixed_count=4,
        )
        for _ in range(2)
    )
    for data in (plain, cached):
        data.make_class_pictures(_draw, "base")
    cached.cache_latents(encode, "vae")
    for index in range(len(plain.train_dataset)):
        expected, found = (data.train_dataset[1, index] for data in (plain, cached))
        for name in ("", "class_"):
            assert expected[f"{name}name"] == found[f"{name}name"]
            moments = encode(expected[f"{name}pixel_values"][None])[0]
            torch.testing.assert_close(moments, found[f"{name}moments"])


def test_mixed_pictures_wait_for_the_models_resolution(make_data, tmp_path) -> None:
    data = make_data(mixed_prompts=_MIXED, mixed_count=3, resolution=None)
    assert data.survey() is None
    assert len(data.survey(16).pictures) == len(data.survey(16).kept)
    assert data.captions()[-3:] == _MIXED
    assert not (tmp_path / "cache" / "mixed_pictures").exists()
    data.trainer = SimpleNamespace(lightning_module=SimpleNamespace(model=_Model))
    assert data.train_dataset[0, 6]["pixel_values"].shape == (3, 16, 16)
    assert Image.open(data.train_dataset.pictures[-1].path).size == (16, 16)
    before = data.train_dataset.pictures[-1]
    data.setup()
    assert data.train_dataset.pictures[-1] == before


class _Model:
    resolution = 16


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("a <cat> on a sofa", "`<cat>`"),
        ("a cat next to a dog", "none"),
        ("a <cat> next to a <cat>", "`<cat>`, `<cat>`"),
        ("a <cat>, a <dog> and a <cow>", "`<cat>`, `<dog>`, `<cow>`"),
        ("a <cat> next to a <cow>", "`<cat>`, `<cow>`"),
    ],
)
def test_a_mixed_prompt_without_the_words_of_two_is_a_problem(
    make_data, tmp_path, prompt: str, found: str
) -> None:
    data = make_data(mixed_prompts=[*_MIXED, prompt])
    (problem,) = data.problems()
    assert problem == (
        "Expected each of `data.mixed_prompts` to hold the words of two of the concepts (of "
        f"`<cat>`, `<dog>`) and no others, but got {found}: {prompt!r}."
    )
    with pytest.raises(DataError, match="mixed_prompts"):
        data.setup()
    assert not (tmp_path / "cache" / "mixed_pictures").exists()


def test_three_concepts_are_mixed_two_by_two(make_data, make_folder) -> None:
    data = make_data(mixed_prompts=["a <COW> by a <cat>", "a <dog> by a <cow>"], mixed_count=2)
    data.concepts.append(Concept(make_folder(1, name="cows"), "a <cow>"))
    assert data.problems() == []
    assert len(data.train_dataset) == 4 + 2 + 1 + 2
    data.mixed_prompts = ["a <cat>, a <dog> and a <cow>"]
    assert "but got `<cat>`, `<dog>`, `<cow>`" in data.problems()[0]


def test_a_folder_without_pictures_makes_no_mixed_prompt_wrong(make_data, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    data = make_data(mixed_prompts=_MIXED)
    data.concepts[1] = Concept(tmp_path / "empty", "<dog>")
    (problem,) = data.problems()
    assert problem.startswith(f"{tmp_path / 'empty'}: holds no pictures")


def test_bad_mixed_arguments_are_refused_together(make_data) -> None:
    with pytest.raises(ValueError, match="mixed") as caught:
        make_data(mixed_prompts=[], mixed_count=0, mixed_repeats=-1)
    assert str(caught.value).splitlines() == [
        "- Expected `mixed_prompts` to be one text or more, or None, but got [].",
        "- Expected `mixed_count` to be a positive integer, but got 0.",
        "- Expected `mixed_repeats` to be a positive integer, but got -1.",
    ]
    assert make_data(mixed_prompts=_MIXED).hparams["mixed_prompts"] == _MIXED
