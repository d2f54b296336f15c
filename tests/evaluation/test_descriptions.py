import pytest

from sdtune.evaluation.descriptions import describe_metrics
from sdtune.metrics.registry import METRICS
from sdtune.run_folder.record import MetricDescription


def test_what_was_measured_is_described_in_the_order_of_registration():
    described = describe_metrics(["ssim", "clip_score"])
    assert list(described) == ["clip_score", "ssim"]
    of = METRICS["ssim"]
    assert described["ssim"] == MetricDescription(of.title, of.higher_is_better, of.meaning)


def test_what_an_earlier_start_measured_keeps_its_words():
    gone = MetricDescription("beauty", True, "How beautiful a picture is.")
    described = describe_metrics(["beauty", "clip_score"], {"beauty": gone})
    assert list(described) == ["clip_score", "beauty"]
    assert described["beauty"] is gone
    with pytest.raises(ValueError, match="to be registered, but `beauty` is not"):
        describe_metrics(["beauty", "clip_score"])
