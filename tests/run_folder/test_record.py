import dataclasses
import json
from pathlib import Path
from typing import get_args

import pytest

from sdtune.files.json_file import JsonFileError
from sdtune.metrics import intervals
from sdtune.run_folder.record import (
    Base,
    Best,
    Checkpoint,
    Choice,
    Cost,
    Difference,
    Evaluation,
    EvaluationSettings,
    Excluded,
    Figure,
    MetricDescription,
    NearestPicture,
    Provenance,
    TrainingPictures,
    Verdict,
    picture_name,
)

WRITTEN = Path(__file__).with_name("evaluation_version_1.json")


def make_record() -> Evaluation:
    figure = {"clip_score": Figure(28.0, 27.0, 29.5, 2)}
    return Evaluation(
        finished=True,
        base=Base("nano", "abc"),
        run=Provenance("style_lora", "LoRAStyleModule", 42, 600, "cpu", {"torch": "2"}),
        protocol=EvaluationSettings(["a cat"], [0, 1], [], 25, 3.0, "", "nano", None),
        training_pictures=TrainingPictures("pictures", 2, "def"),
        metrics={"clip_score": MetricDescription("CLIP score", True, "how well")},
        checkpoints=[
            Checkpoint("base", 0, None, "evaluation/base", figure, {"clip_score": [27.5, 28.5]}),
            Checkpoint(
                "step_000200",
                200,
                "adapter/step_000200",
                "evaluation/step_000200",
                figure,
                against_base={"clip_score": Difference(0.4, -0.2, 1.0, "no difference seen")},
                nearest=[NearestPicture(0, 1, "x.png", 0.81, 0.3, False)],
            ),
        ],
        best=Best("step_000200", "the rule", "the reason", [Excluded("step_000100", "why")]),
        cost=Cost(41.0, 33.0, 8.0, 0.12, 341.0),
        sdtune="0.1.0",
    )


def test_a_record_comes_back_as_it_was(tmp_path):
    record = make_record()
    record.save(tmp_path / "evaluation.json")
    assert Evaluation.load(tmp_path) == record
    assert record.checkpoint("step_000200").step == 200
    assert (record.untuned, record.tuned) == (record.checkpoints[0], record.checkpoints[1:])
    with pytest.raises(KeyError, match="one of `base`, `step_000200`, but got `step_1`"):
        record.checkpoint("step_1")
    assert picture_name(3, 12) == "prompt_03_seed_12.png"


def test_a_record_of_version_1_is_written_as_it_was_read(tmp_path):
    """The file is a run's, as sdtune 0.1.0 wrote it."""
    Evaluation.load(WRITTEN).save(tmp_path / "evaluation.json")
    assert (tmp_path / "evaluation.json").read_bytes() == WRITTEN.read_bytes()


def test_how_pictures_are_read_comes_back(tmp_path):
    reading = {"folder": {"a": 2, "b": 1}, "source": "folder"}
    pictures = TrainingPictures("here", 2, "def", reading)
    dataclasses.replace(make_record(), training_pictures=pictures).save(
        tmp_path / "evaluation.json"
    )
    assert Evaluation.load(tmp_path).training_pictures.reading == reading


def test_what_scores_hang_on_comes_back_and_must_agree(tmp_path):
    old = make_record()
    protocol = dataclasses.replace(old.protocol, style_pictures=8, clip_skip=2, max_prompt_chunks=1)
    protocol = dataclasses.replace(protocol, precision="bfloat16", quantization="nf4:unet")
    pictures = dataclasses.replace(old.training_pictures, held_out=["b.png"])
    tuned = dataclasses.replace(old.checkpoints[1], sha256="ab" * 32)
    told = dataclasses.replace(
        old,
        protocol=protocol,
        training_pictures=pictures,
        choice=Choice("style", 0.7, 0.25),
        checkpoints=[old.checkpoints[0], tuned],
    )
    told.save(tmp_path / "evaluation.json")
    assert Evaluation.load(tmp_path) == told
    assert Evaluation.load(tmp_path).training_pictures.held_out == ["b.png"]
    assert told.other_terms(old) == old.other_terms(told) == []  # which does not say it
    moved = dataclasses.replace(old, base=Base("elsewhere/nano", "abc"))
    assert told.other_terms(moved) == []
    other = dataclasses.replace(
        told,
        base=Base("nano", "other"),
        protocol=dataclasses.replace(protocol, clip_skip=1),
        training_pictures=dataclasses.replace(pictures, held_out=[]),
    )
    assert told.other_terms(other) == ["base", "protocol", "training pictures"]
    for change in ({"precision": "float32"}, {"quantization": "none"}):
        changed = dataclasses.replace(told, protocol=dataclasses.replace(protocol, **change))
        assert told.other_terms(changed) == ["protocol"]


def test_a_missing_file_and_another_version_say_what_to_do(tmp_path):
    path = tmp_path / "evaluation.json"
    with pytest.raises(FileNotFoundError, match=r"at .*evaluation.json, but there is no such file"):
        Evaluation.load(path)
    path.write_text(json.dumps(dataclasses.asdict(make_record()) | {"version": 7}))
    with pytest.raises(JsonFileError, match="its `version` is 7"):
        Evaluation.load(path)


def test_every_key_that_is_wrong_is_named(tmp_path):
    path = tmp_path / "evaluation.json"
    content = dataclasses.asdict(make_record())
    content |= {"finished": 1, "base": {"source": "nano"}, "run": None, "later": "a key"}
    tuned = content["checkpoints"][1]
    tuned["adapter"], tuned["pictures"] = "/etc", "../../elsewhere"
    tuned["against_base"]["clip_score"]["verdict"] = "great"
    tuned["nearest"][0]["picture"] = "../x.png"
    path.write_text(json.dumps(content))
    with pytest.raises(JsonFileError) as caught:
        Evaluation.load(path)
    assert [each.removeprefix(f"{path}: Expected ") for each in caught.value.problems] == [
        "`finished` to be true or false, but got 1.",
        "`base.fingerprint` to be given, but it is missing.",
        "`run` to be a mapping, but got None.",
        "`checkpoints[1].adapter` to be a path below its folder, but got '/etc'.",
        "`checkpoints[1].pictures` to be a path below its folder, but got '../../elsewhere'.",
        "`checkpoints[1].against_base.clip_score.verdict` to be one of 'better', 'worse', "
        "'no difference seen' or 'no interval', but got 'great'.",
        "`checkpoints[1].nearest[0].picture` to be a path below its folder, but got '../x.png'.",
    ]


def test_keys_that_no_metric_can_have_are_named(tmp_path):
    path = tmp_path / "evaluation.json"
    content = dataclasses.asdict(make_record())
    content["metrics"]["brightness_2"] = content["metrics"]["clip_score"]  # of another package
    path.write_text(json.dumps(content))
    assert list(Evaluation.load(path).metrics) == ["clip_score", "brightness_2"]
    base, tuned = content["checkpoints"]
    for each in (content["metrics"], base["figures"], base["per_sample"], tuned["against_base"]):
        each['x">'] = each.pop("clip_score")
    path.write_text(json.dumps(content))
    places = ["metrics", "checkpoints[0].figures", "checkpoints[0].per_sample"]
    places += ["checkpoints[1].against_base"]
    with pytest.raises(JsonFileError) as caught:
        Evaluation.load(path)
    assert [each.removeprefix(f"{path}: ") for each in caught.value.problems] == [
        f"Expected the keys of `{place}` to be small letters, digits and `_`, but got 'x\">'."
        for place in places
    ]


def test_verdicts_are_those_of_the_intervals():
    assert get_args(Verdict) == get_args(intervals.Verdict)


def test_what_is_not_finite_is_not_written(tmp_path):
    record = dataclasses.replace(make_record(), cost=Cost(float("nan")))
    with pytest.raises(ValueError, match="not JSON compliant"):
        record.save(tmp_path / "evaluation.json")
    assert not list(tmp_path.iterdir())
