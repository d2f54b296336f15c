import dataclasses
import json

import pytest

from sdtune.evaluation.record import (
    Base,
    Best,
    Checkpoint,
    Cost,
    Difference,
    Evaluation,
    Excluded,
    Figure,
    MetricDescription,
    NearestPicture,
    Protocol,
    RecordError,
    Run,
    TrainingPictures,
    picture_name,
)


def make_record() -> Evaluation:
    figure = {"clip_score": Figure(28.0, 27.0, 29.5, 2)}
    return Evaluation(
        finished=True,
        base=Base("nano", "abc"),
        run=Run("style_lora", "LoRAStyleModule", 42, 600, "cpu", {"torch": "2"}),
        protocol=Protocol(["a cat"], [0, 1], [], 25, 3.0, "", "nano", None),
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
    with pytest.raises(KeyError, match="one of `base`, `step_000200`, but got `step_1`"):
        record.checkpoint("step_1")
    assert picture_name(3, 12) == "prompt_03_seed_12.png"


def test_the_file_names_the_key_that_is_wrong(tmp_path):
    path = tmp_path / "evaluation.json"
    with pytest.raises(FileNotFoundError, match=r"at .*evaluation.json, but there is no such file"):
        Evaluation.load(path)
    path.write_text("{")
    with pytest.raises(RecordError, match="to be JSON"):
        Evaluation.load(path)
    content = dataclasses.asdict(make_record())
    for change, message in (
        ({"version": 7}, "`version` is 7"),
        ({"finished": 1}, "Expected `finished` to be bool, but got 1"),
        ({"checkpoints": [{"label": 3}]}, r"`checkpoints\[0\].label` to be str, but got 3"),
        ({"base": {"source": "nano"}}, "`base.fingerprint` to be given"),
        ({"run": None}, "`run` to be dict, but got None"),
    ):
        path.write_text(json.dumps(content | change))
        with pytest.raises(RecordError, match=message):
            Evaluation.load(path)
    content["checkpoints"][1]["against_base"]["clip_score"]["verdict"] = "great"
    path.write_text(json.dumps(content))
    with pytest.raises(RecordError, match=r"against_base.clip_score.verdict` to be one of"):
        Evaluation.load(path)


def test_what_is_not_finite_is_not_written(tmp_path):
    record = dataclasses.replace(make_record(), cost=Cost(float("nan")))
    with pytest.raises(ValueError, match="not JSON compliant"):
        record.save(tmp_path / "evaluation.json")
    assert not list(tmp_path.iterdir())
