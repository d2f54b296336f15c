"""Pictures of a subject without captions: described once, by a captioner, and told."""

import json

import pytest

from sdtune.captioning.registry import CAPTIONERS
from sdtune.data.concept import Concept
from sdtune.data.concepts import ConceptsDataModule
from sdtune.data.made_captions import CAPTIONS, recorded_captions
from sdtune.data.problems import DataError
from sdtune.data.subject import SubjectDataModule


class Captioner:
    """Says after what it was told to begin with that there is grass, and how many it has seen."""

    def __init__(self):
        self.seen = 0
        self.told = []

    def load(self, settings):
        self.told.append(settings.subject)
        self.subject = settings.subject
        return self

    def describe(self, images):
        self.seen += len(images)
        return [f"{self.subject} on grass {image.size[0]}" for image in images]


@pytest.fixture
def captioner(monkeypatch):
    captioner = Captioner()
    monkeypatch.setitem(CAPTIONERS, "clip", captioner.load)
    return captioner


@pytest.fixture
def photos(make_folder):
    folder = make_folder(3)
    for path in folder.glob("*.txt"):
        path.unlink()
    return folder


@pytest.fixture
def make_data(photos, tmp_path):
    defaults = {"class_noun": "robot", "identifier": "qqq", "cache_dir": tmp_path / "cache"}
    return lambda **changes: SubjectDataModule(photos, **{**defaults, **changes})


class Logger:
    def __init__(self, folder):
        self.log_dir = str(folder)


class OneProcess:
    def broadcast(self, value):
        return value


class Run:
    """As much of a Trainer as making captions needs."""

    is_global_zero, fast_dev_run, world_size, global_rank = True, False, 1, 0
    strategy, lightning_module = OneProcess(), None

    def __init__(self, folder, ckpt_path=None):
        self.logger, self.ckpt_path, self.log_dir = Logger(folder), ckpt_path, str(folder)


def _set_up(data, base="nano", run=None):
    data.name_subjects([], base)
    data.trainer = run
    data.setup()
    return data


def test_captions_are_made_once_for_all_runs(make_data, captioner):
    for _ in range(2):
        data = _set_up(make_data())
        assert data.captions() == ["a qqq robot on grass 24"]
    assert (captioner.seen, captioner.told) == (3, ["a robot"])


def test_all_are_shown_with_the_words_that_were_chosen(make_data, captioner):
    data = make_data()
    data.name_subjects([], "nano")
    assert data.found()[1:] == [
        "data.class_noun: prompts and captions call the subject `qqq robot` and its class `robot`; "
        "base and judges read the latter for both.",
        "data.captioner: 3 of 3 pictures have no caption; captions will be made when training "
        "starts, by `clip`, nano's words for backgrounds: `a qqq robot …`.",
    ]
    assert captioner.seen == 0
    data.setup()
    assert data.found()[2:] == [
        "data.captioner: 3 pictures have captions that were made, by `clip`, nano's words for "
        "backgrounds:",
        *(f"  0{number}.png: a qqq robot on grass 24" for number in range(3)),
    ]


def test_captions_that_are_there_stay_and_name_the_subject(make_data, captioner, photos):
    (photos / "01.txt").write_text("two robots and a robot in snow")
    data = _set_up(make_data())
    assert [each.caption for each in data.train_dataset.pictures] == [
        "a qqq robot on grass 24",
        "two robots and a qqq robot in snow",
        "a qqq robot on grass 24",
    ]
    assert data.has_own_captions
    assert captioner.seen == 2


def test_a_new_word_stands_in_made_captions(make_data, captioner):
    data = make_data()
    data.name_subjects(["<robot>"], "nano", ["robot"])
    data.setup()
    assert data.captions() == ["a <robot> on grass 24"]
    assert (
        "`<robot>`, a new word that starts from `robot`, and its class `robot`" in data.found()[1]
    )


def test_a_run_keeps_its_captions_and_a_resumed_one_has_the_same(make_data, captioner, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    made = _set_up(make_data(), run=Run(first)).captions()
    record = json.loads((first / CAPTIONS).read_text())
    assert {each["caption"] for each in record["captions"]} == {"a {subject} on grass 24"}
    assert [each["picture"] for each in record["captions"]] == ["00.png", "01.png", "02.png"]
    checkpoint = first / "checkpoints" / "last.ckpt"
    for run in (Run(first), Run(second, checkpoint)):
        resumed = _set_up(make_data(cache_dir=tmp_path / "elsewhere"), "another base", run)
        assert resumed.captions() == made
    assert (second / CAPTIONS).read_bytes() == (first / CAPTIONS).read_bytes()
    assert captioner.seen == 3
    assert set(json.loads(resumed.adapter_record["sdtune.made_captions"]).values()) == {
        "a {subject} on grass 24"
    }


def test_captions_of_an_adapter_s_record_are_taken_again(make_data, captioner, tmp_path):
    data = _set_up(make_data())
    recorded = recorded_captions(data.adapter_record["sdtune.made_captions"])
    assert set(recorded) == {each.sha256 for each in data.train_dataset.pictures}
    again = make_data(cache_dir=tmp_path / "elsewhere")
    again.keep_captions(dict.fromkeys(list(recorded)[:2], "a {subject} in snow"))
    told = [each.caption for each in _set_up(again).train_dataset.pictures]
    assert told == ["a qqq robot in snow"] * 2 + ["a qqq robot on grass 24"]
    assert captioner.seen == 3 + 1


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 3}', "[" * 100_000])
def test_a_record_of_something_else_has_no_captions(text):
    assert recorded_captions(text) == {}


def test_articles_fit_in_captions_and_in_their_files(make_data, captioner, photos):
    words = {"class_noun": "umbrella"}
    assert _set_up(make_data(**words, write_captions=True)).captions() == [
        "a qqq umbrella on grass 24"
    ]
    assert (photos / "01.txt").read_text() == "an umbrella on grass 24\n"
    later = make_data(**words, captioner="none", class_prompt="a {class}")
    assert _set_up(later).captions() == ["a qqq umbrella on grass 24"]
    assert later._filled()[0].class_prompt == ["an umbrella"]


def test_they_are_written_beside_the_pictures_if_asked_for(make_data, captioner, photos):
    made = _set_up(make_data(write_captions=True)).captions()
    texts = {path.name: path.read_text().strip() for path in photos.glob("*.txt")}
    assert texts == {f"0{number}.txt": "a robot on grass 24" for number in range(3)}
    assert _set_up(make_data(captioner="none")).captions() == made


@pytest.mark.parametrize("write", [False, True])
def test_they_are_shown_with_where_they_were_written(make_data, captioner, photos, tmp_path, write):
    data = _set_up(make_data(write_captions=write), run=Run(tmp_path / "run"))
    beside = f" and beside the pictures in {photos}" if write else ""
    assert data.found()[2:] == [
        "data.captioner: 3 pictures have captions that were made, by `clip`, nano's words for "
        f"backgrounds; written in {tmp_path / 'run' / CAPTIONS}{beside}:",
        *(f"  0{number}.png: a qqq robot on grass 24" for number in range(3)),
    ]


def test_a_caption_that_is_written_anew_beside_a_picture_counts_from_the_next_setup_on(
    make_data, captioner, photos
):
    data = _set_up(make_data(write_captions=True))
    (photos / "01.txt").write_text("a robot in snow")
    assert "a qqq robot in snow" not in data.captions()
    assert "a qqq robot in snow" in _set_up(data).captions()


def test_no_file_is_written_that_two_pictures_would_read(make_data, captioner, photos, caplog):
    (photos / "00.webp").write_bytes((photos / "01.png").read_bytes())
    _set_up(make_data(write_captions=True))
    assert sorted(each.name for each in photos.glob("*.txt")) == ["01.txt", "02.txt"]
    assert f"{photos / '00.webp'}: {photos / '00.txt'} would be of others, too" in caplog.text


def test_one_picture_is_told_in_the_singular(make_data, captioner, photos):
    for number in (1, 2):
        (photos / f"0{number}.png").unlink()
    data = make_data()
    data.name_subjects([], "nano")
    assert data.found()[-1].startswith("data.captioner: 1 of 1 picture has no caption; captions")
    assert _set_up(data).found()[2].startswith("data.captioner: 1 picture has a caption that was")


def test_none_names_the_subject_alone(make_data, captioner):
    assert _set_up(make_data(captioner="none")).captions() == ["a qqq robot"]
    data = make_data(captioner="none")
    data.name_subjects([], "sd")
    assert data.found()[-1] == (
        "data.captioner: 3 of 3 pictures have no caption; each is told `a photo of qqq robot`, by "
        "`captioner: none`."
    )
    assert _set_up(data, "sd").captions() == ["a photo of qqq robot"]
    assert captioner.seen == 0


def test_templates_go_around_the_name_and_no_sentence(make_data, captioner, photos):
    templates = ["that {} again", "a large {}"]
    unmade = {"captioner": "none", "prompt_templates": templates, "resolution": 8}
    alone = _set_up(make_data(**unmade), "sd")
    assert alone.captions() == ["that qqq robot again", "a large qqq robot"]
    (photos / "01.txt").write_text("a robot in snow")
    mixed = _set_up(make_data(**unmade), "sd")
    pairs = [(epoch, index) for epoch in range(4) for index in range(3)]
    told = [mixed.train_dataset.sample(*each)["caption"] for each in pairs]
    assert told.count("a qqq robot in snow") == 4
    assert set(told) == {"a qqq robot in snow", "that qqq robot again", "a large qqq robot"}
    assert set(mixed.captions()) == set(told)
    assert mixed.found()[-1] == (
        "data.prompt_templates: 1 of 3 captions is a sentence, and is told without a template; "
        "those go around `qqq robot` alone."
    )
    made = _set_up(make_data(prompt_templates=templates))
    assert made.captions() == ["a qqq robot on grass 24", "a qqq robot in snow"]


def test_without_a_noun_captions_are_needed(make_data):
    with pytest.raises(DataError, match="none of its 3 pictures has a caption"):
        _set_up(make_data(class_noun=None))


def test_a_captioner_that_is_not_here_is_told_and_one_that_was_asked_for_is_an_error(
    make_data, monkeypatch
):
    def load(settings):
        raise ValueError("There is no network.")

    monkeypatch.setitem(CAPTIONERS, "blip", load)
    with pytest.warns(UserWarning, match="3 pictures is told `a photo of qqq robot`.*no network"):
        data = _set_up(make_data(), "sd")
    assert data.captions() == ["a photo of qqq robot"]
    assert "data.captioner: 3 pictures are told the subject alone:" in data.found()
    with pytest.raises(ValueError, match="There is no network"):
        _set_up(make_data(captioner="blip"), "sd")


def test_a_check_says_before_training_that_blip_is_not_here(make_data, monkeypatch):
    monkeypatch.setattr("huggingface_hub.is_offline_mode", lambda: True)
    monkeypatch.setattr("sdtune.captioning.blip._MODEL", "nobody/blip")
    data = make_data()
    data.name_subjects([], "sd")
    line = data.found()[-1]
    assert "3 of 3 pictures have no caption; the model nobody/blip is neither" in line
    assert "run `hf download nobody/blip` with a network" in line
    assert line.endswith("Until then each is told `a photo of qqq robot`.")


def test_an_unknown_captioner_is_refused(make_data):
    with pytest.raises(ValueError, match=r"`captioner` to be one of `auto`, `blip`, .*got 'x'"):
        make_data(captioner="x")


def test_several_subjects_have_words_of_their_own(photos, make_folder, captioner, tmp_path):
    others = make_folder(2, name="others")
    for number in range(2):
        (others / f"0{number}.txt").write_text("a vase on a table")
    concepts = [
        {"instance_dir": str(photos), "class_noun": "robot"},
        {"instance_dir": str(others), "class_noun": "red vase", "subject_name": "<v> vase"},
    ]
    data = ConceptsDataModule(
        [Concept(**each) for each in concepts],
        mixed_prompts=["a {subject_1} left of a {subject_2}"],
        mixed_count=1,
        cache_dir=tmp_path / "cache",
    )
    data.name_subjects(["<robot>", "<v>"], "nano", ["robot", "red"])
    assert data.problems() == []
    data.setup()
    assert data.captions() == [
        "a <robot> on grass 24",
        "a <v> vase on a table",
        "a <robot> left of a <v> vase",
    ]


def test_fields_of_prompts_are_filled_and_unknown_ones_named(make_data, captioner):
    data = make_data(
        class_prompt=["a {class}", "a {subject} on snow"],
        prompt_templates=["a picture of {}", "{} beside a {class}"],
        instance_prompt="my {subject}",
    )
    assert data.captions() == ["a picture of my qqq robot", "my qqq robot beside a robot"]
    assert data._filled()[0].class_prompts == ["a robot", "a robot on snow"]
    assert make_data()._filled()[0].class_prompts == ["a robot"]
    problems = make_data(class_prompt="a {clas}", instance_prompt="{subject_2}").problems()
    assert [each.partition(", but got ")[2] for each in problems] == ["`{subject_2}`.", "`{clas}`."]
    assert "`data.class_prompt`" in problems[1]
    [problem] = make_data(class_noun=None, instance_prompt="a {subject}").problems()
    assert problem.startswith("Expected `data.class_noun` to say what `{subject}` in")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_noun": " "}, "`class_noun` to say what kind of thing"),
        ({"class_noun": "<robot>"}, "`class_noun` to say what kind of thing"),
        ({"class_noun": None, "subject_name": "<r>"}, "`class_noun` to be given with"),
    ],
)
def test_nouns_are_checked(make_data, arguments, message):
    with pytest.raises(ValueError, match=message):
        make_data(**arguments)
