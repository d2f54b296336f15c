"""What is kept of scores is what is computed without it, to the last bit."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sdtune.evaluation.best import BestRule
from sdtune.evaluation.evaluator import Evaluator
from sdtune.evaluation.kept_scores import KeptScores, digest_of_pictures
from sdtune.evaluation.training_set import TrainingSet
from sdtune.metrics.judges import Judges
from sdtune.metrics.metric import SampleMetric
from sdtune.models import StableDiffusion, load
from sdtune.run_folder.record import EvaluationSettings, Provenance
from tests.metrics.tiny_networks import random_images

RUN = Provenance("recipe", "Technique", 1, 4, "cpu", {})
PROTOCOL = EvaluationSettings(["a hat", "a dog"], [0, 5], ["a pet"], 2, 1.0, "", "tiny", None)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tiny_sd: Path) -> StableDiffusion:
    return load(tiny_sd)


def _draw(prompts: list[str], seeds: list[int]) -> Tensor:
    return random_images(len(prompts), seed=sum(seeds))


class Looks:
    """Counts how often the CLIP is shown pictures."""

    def __init__(self, judges: Judges, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._see = judges.clip._embed
        monkeypatch.setattr(judges.clip, "_embed", self)

    def __call__(self, images: Tensor) -> Tensor:
        self.count += 1
        return self._see(images)


def _run(folder: Path, cache: Path, training: TrainingSet, judges: Judges, model) -> dict:
    rule = BestRule(max_memorised_share=1.0)
    settings = {"style_pictures": 4, "cache": cache}
    evaluator = Evaluator(training, judges, PROTOCOL, rule, RUN, folder, **settings)
    evaluator.begin(model, _draw)
    evaluator.evaluate("step_000004", 4, lambda *those: 1.0 - _draw(*those))
    evaluator.save(finished=True)
    record = json.loads((folder / "evaluation.json").read_text())
    del record["cost"]
    return record


def test_scores_are_the_same_with_and_without_what_is_kept(
    training, judges, model, tmp_path, monkeypatch
) -> None:
    looks = Looks(judges, monkeypatch)
    assert judges.identity is not None
    unknown = replace(judges, identity=None)
    without = _run(tmp_path / "a", tmp_path / "none", training, unknown, model)
    each = looks.count
    first = _run(tmp_path / "b", tmp_path / "kept", training, judges, model)
    assert looks.count == 2 * each
    later = _run(tmp_path / "c", tmp_path / "kept", training, judges, model)
    assert looks.count == 2 * each + 2  # of the checkpoint alone: its samples, and of the class
    # numbers are written with all their digits: equal texts are equal bits
    assert json.dumps(without) == json.dumps(first) == json.dumps(later)
    figures = later["checkpoints"][0]["figures"]
    assert {"clip_score", "style_score", "memorised_share", "clip_mmd", "ssim"} <= set(figures)


def test_whatever_they_depend_on_makes_them_others(judges, tmp_path, monkeypatch) -> None:
    calls = 0

    def compute() -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        return {"rows": torch.tensor([1.0 / 3.0])}

    def get(of: Judges = judges, about: str = "a", *metrics: SampleMetric) -> Tensor:
        return KeptScores(of, CPU, tmp_path).get({"of": about}, compute, metrics)["rows"]

    first = get()
    assert torch.equal(get(), first)
    assert calls == 1
    get(about="b")
    get(replace(judges, identity={"clip": "another"}))
    threads = torch.get_num_threads()
    monkeypatch.setattr("torch.get_num_threads", lambda: threads + 1)
    get()
    monkeypatch.setattr("sdtune.evaluation.kept_scores._own_code", lambda: "other code")
    get()
    assert calls == 5
    get(replace(judges, identity=None))
    get(replace(judges, identity=None))
    assert calls == 7


def test_the_code_of_a_metric_from_elsewhere_counts(judges, tmp_path, monkeypatch) -> None:
    source = tmp_path / "outside.py"
    source.write_text("def values(samples):\n    return samples\n")
    monkeypatch.syspath_prepend(tmp_path)
    import outside

    words = {"title": "t", "higher_is_better": True, "meaning": "m", "limits": "l"}
    metric = SampleMetric(name="outside", values=outside.values, **words)
    kept = KeptScores(judges, CPU, tmp_path / "kept")
    numbers = iter(range(5))

    def found() -> float:
        computed = kept.get({}, lambda: {"n": torch.tensor(float(next(numbers)))}, [metric])
        return float(computed["n"])

    assert [found(), found()] == [0.0, 0.0]
    source.write_text("def values(samples):\n    return 2 * samples\n")
    assert found() == 1.0


def test_what_is_damaged_is_computed_again(judges, tmp_path) -> None:
    kept = KeptScores(judges, CPU, tmp_path)
    kept.get({}, lambda: {"n": torch.zeros(3)})
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-3])
    assert kept.get({}, lambda: {"n": torch.ones(3)})["n"].sum() == 3


def test_a_set_that_is_too_large_is_not_kept(judges, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("sdtune.evaluation.kept_scores._LARGEST", 8)
    KeptScores(judges, CPU, tmp_path).get({}, lambda: {"n": torch.zeros(3)})
    assert not list(tmp_path.iterdir())


def test_pictures_are_told_apart_by_their_levels() -> None:
    images = random_images(2, seed=1)
    other = images.clone()
    other[0, 0, 0, 0] = 1.0 - other[0, 0, 0, 0]
    assert digest_of_pictures(images) == digest_of_pictures(images.clone())
    assert digest_of_pictures(images) != digest_of_pictures(other)
    assert digest_of_pictures(None) is None
