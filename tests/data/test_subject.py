from collections import Counter

import pytest
import torch

from sdtune.data.problems import DataError
from sdtune.data.prompt_templates import OBJECT_TEMPLATES
from sdtune.data.subject import SubjectDataModule


class Base:
    def __init__(self):
        self.drawn = 0

    def __call__(self, prompts, seeds):
        self.drawn += len(seeds)
        return torch.stack([torch.full((3, 8, 8), seed % 256 / 255) for seed in seeds])


@pytest.fixture
def make_data(make_folder, tmp_path):
    folder = make_folder(4)
    defaults = {"resolution": 8, "batch_size": 2, "cache_dir": tmp_path / "cache"}
    return lambda **changes: SubjectDataModule(folder, **{**defaults, **changes})


def _encode(pixel_values):
    return torch.nn.functional.avg_pool2d(pixel_values, 4).repeat(1, 3, 1, 1)[:, :8]


def _with_class(data, base=None):
    data.make_class_pictures(base or Base(), "base")
    return data


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"instance_prompt": " "}, "`instance_prompt` to be a text"),
        ({"class_prompt": []}, "`class_prompt` to be a text"),
        ({"class_prompt": ["a", "b"], "class_dir": "c"}, "`class_prompt` to be one text"),
        ({"class_count": 0}, "`class_count` to be a positive integer, but got 0"),
        ({"prompt_templates": ["a photo"]}, "`prompt_templates` to be `object`, `style` or a"),
        ({"prompt_templates": "objects"}, "`prompt_templates` to be `object`, `style` or a"),
        ({"caption_replacements": {"": "x"}}, "words of `caption_replacements` not to be empty"),
        (
            {"caption_replacements": {"a": "b"}, "instance_prompt": "a"},
            "`instance_prompt` to be None with `caption_replacements`",
        ),
        ({"repeats": 0}, "`repeats` to be a positive integer"),
        ({"caption_dropout": 2.0}, r"`caption_dropout` to be in \[0, 1\], but got 2.0"),
    ],
)
def test_arguments_are_checked(make_data, arguments, message):
    with pytest.raises(ValueError, match=message):
        make_data(**arguments)


def test_all_bad_arguments_are_listed_at_once(make_data):
    with pytest.raises(ValueError, match="repeats") as caught:
        make_data(repeats=0, class_count=0, instance_prompt="")
    assert len(str(caught.value).splitlines()) == 3


def test_without_class_pictures_batches_hold_instances_alone(make_data):
    data = make_data(instance_prompt="a photo of erica cat", repeats=3)
    assert not data.has_class_pictures
    batches = list(data.train_dataloader())
    assert len(batches) == 6
    assert not any(name.startswith("class_") for name in batches[0])
    assert data.captions() == ["a photo of erica cat"]
    assert data.val_dataloader() == []
    with pytest.raises(RuntimeError, match="Expected `class_prompt` or `class_dir`"):
        _with_class(data)


def test_a_batch_holds_as_many_class_pictures_as_instances(make_data):
    data = _with_class(make_data(instance_prompt="erica", class_prompt="a cat", class_count=3))
    for batch in data.train_dataloader():
        assert batch["pixel_values"].shape == batch["class_pixel_values"].shape == (2, 3, 8, 8)
        assert batch["caption"] == ["erica"] * 2
        assert batch["class_caption"] == ["a cat"] * 2
        assert len(batch["class_index"]) == len(batch["class_name"]) == 2
    assert data.captions() == ["erica", "a cat"]


def test_class_pictures_are_drawn_once_for_all_runs(make_data):
    base = Base()
    for seed in (1, 2):
        _with_class(make_data(class_prompt="a cat", class_count=5, seed=seed), base)
    assert base.drawn == 5


def test_every_class_picture_is_shown_before_one_is_shown_again(make_data):
    data = _with_class(make_data(class_prompt="a cat", class_count=6))
    dataset = data.train_dataset
    shown = [
        dataset[epoch, index]["class_index"] for epoch in range(6) for index in range(len(dataset))
    ]
    assert Counter(shown) == dict.fromkeys(range(6), 4)
    turns = [shown[start : start + 6] for start in range(0, 24, 6)]
    assert all(sorted(turn) == list(range(6)) for turn in turns)
    assert len({tuple(turn) for turn in turns}) > 1


def test_pairs_do_not_depend_on_the_number_of_processes_that_read(make_data):
    def pairs(workers):
        arguments = {"class_prompt": "a cat", "class_count": 3, "num_workers": workers}
        loader = _with_class(make_data(**arguments)).train_dataloader()
        return [(batch["name"], batch["class_name"]) for batch in loader]

    assert pairs(0) == pairs(2)


def test_class_pictures_are_cached_too(make_data):
    arguments = {"class_prompt": "a cat", "class_count": 3, "flip": True}
    plain, cached = (_with_class(make_data(**arguments)) for _ in range(2))
    cached.cache_latents(_encode, "vae")
    for expected, found in zip(plain.train_dataloader(), cached.train_dataloader(), strict=True):
        for prefix in ("", "class_"):
            assert expected[f"{prefix}caption"] == found[f"{prefix}caption"]
            torch.testing.assert_close(
                _encode(expected[f"{prefix}pixel_values"]), found[f"{prefix}moments"]
            )


@pytest.mark.parametrize("prompt", ["a cat", None])
def test_a_folder_of_class_pictures_is_used_as_it_is(make_data, make_folder, prompt):
    base = Base()
    data = make_data(class_dir=make_folder(3, name="class"), class_prompt=prompt, class_count=9)
    _with_class(data, base)
    assert base.drawn == 0
    captions = [prompt] if prompt else [f"a drawing of thing {n}" for n in range(3)]
    assert data.train_dataset.class_datasets[0].captions() == captions


def test_problems_of_both_folders_are_listed_at_once(make_data, make_folder, tmp_path):
    folder = make_folder(3, name="class")
    (folder / "00.png").write_bytes(b"no picture")
    (folder / "01.png").write_bytes(b"")
    (tmp_path / "pictures" / "02.png").write_bytes(b"no picture")
    data = make_data(class_dir=folder, class_prompt="a cat")
    with pytest.raises(DataError) as caught:
        data.setup("fit")
    assert [problem.split(": ")[0] for problem in caught.value.problems] == [
        str(tmp_path / "pictures" / "02.png"),
        str(folder / "00.png"),
        str(folder / "01.png"),
    ]


def test_no_instance_picture_is_a_problem(tmp_path):
    (tmp_path / "empty").mkdir()
    (problem,) = SubjectDataModule(tmp_path / "empty", "erica").problems()
    assert "holds no pictures" in problem


def test_class_pictures_without_captions_ask_for_one_prompt(make_data, make_folder):
    folder = make_folder(2, name="class")
    for each in folder.glob("*.txt"):
        each.unlink()
    first, *others = make_data(class_dir=folder).problems()
    assert first.startswith(f"{folder}: class pictures there have no caption, and `class_p")
    assert len(others) == 1
    assert make_data(class_dir=folder, class_prompt="a cat").problems() == []
    with pytest.raises(ValueError, match="got 2 texts, which are for pictures that are drawn"):
        make_data(class_dir=folder, class_prompt=["a cat", "a dog"])


def test_class_pictures_among_the_instances_are_a_problem(make_data, make_folder):
    folder = make_folder(2, name="pictures/class")
    (problem,) = make_data(instance_prompt="erica", class_dir=folder).problems()
    assert problem.startswith(f"{folder}: lies within")


def test_names_go_into_captions(make_data):
    data = make_data(caption_replacements={"thing": "erica thing", "a drawing": "one drawing"})
    assert data.problems() == []
    assert data.captions()[0] == "one drawing of erica thing 0"
    assert len(make_data(caption_replacements={"thin": "x"}).problems()) == 4


def test_each_sample_draws_a_template(make_data):
    data = make_data(instance_prompt="<erica>", prompt_templates="object")
    dataset = data.train_dataset
    drawn = [dataset[epoch, 0]["caption"] for epoch in range(200)]
    assert drawn == [dataset[epoch, 0]["caption"] for epoch in range(200)]
    assert set(drawn) == {template.replace("{}", "<erica>") for template in OBJECT_TEMPLATES}
    assert set(drawn) == set(data.captions())


def test_a_dropped_caption_is_in_no_template(make_data):
    data = make_data(instance_prompt="erica", prompt_templates=["a {}"], caption_dropout=0.5)
    drawn = {data.train_dataset[epoch, 0]["caption"] for epoch in range(30)}
    assert drawn == set(data.captions()) == {"", "a erica"}


def test_hyperparameters_can_be_read_back_without_pickle(make_data, tmp_path):
    data = make_data(class_dir=tmp_path, class_prompt="a cat")
    torch.save(dict(data.hparams), tmp_path / "hparams.pt")
    hparams = torch.load(tmp_path / "hparams.pt", weights_only=True)
    assert hparams["class_dir"] == str(tmp_path)
    assert not {"seed", "cache_dir"} & hparams.keys()


def test_class_pictures_are_surveyed_drawn_and_given(make_data, make_folder, tmp_path):
    data = make_data(class_prompt="a cat", class_count=3)
    assert data.survey().of_class is None  # not drawn yet
    survey = _with_class(data).survey()
    assert len(survey.pictures) == 4
    drawn = survey.of_class
    assert [(each.size, each.pictures) for each in drawn.buckets] == [((8, 8), 3)]
    assert len({each.sha256 for each in drawn.pictures}) == 3
    lines = data.survey_notes(survey)
    assert "class pictures: 3 pictures at 8x8; 100 % of the pixels are kept." in lines
    folder = make_folder(3, name="class")  # of the same noise as the subject's
    (folder / "00.png").write_bytes((folder / "01.png").read_bytes())
    given = make_data(class_prompt="a cat", class_dir=folder, resolution=16)
    survey = given.survey()
    assert [each.size for each in survey.of_class.buckets] == [each.size for each in survey.buckets]
    assert [each.text for each in survey.of_class.marks_of("subject")] == [
        "is the same file as the subject's own 01.png",
        "is the same file as the subject's own 01.png",
        "is the same file as the subject's own 02.png",
    ]
    (line,) = (each for each in given.survey_notes(survey) if "delete all but one" in each)
    assert line.startswith("class pictures: 1 picture is there twice")


def test_black_class_pictures_are_told(make_data):
    data = make_data(class_prompt="a cat", class_count=3)
    black = data.make_class_pictures(lambda prompts, seeds: torch.zeros(len(seeds), 3, 8, 8), "x")
    assert black is None
    assert len(data.survey().of_class.marks_of("duplicate")) == 2
