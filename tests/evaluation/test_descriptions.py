from sdtune.evaluation.descriptions import METRICS


def test_every_metric_is_described_in_plain_words():
    assert set(METRICS) == {
        "clip_score", "style_score", "clip_i", "dino", "clip_mmd", "ssim", "ssim_nearest",
        "lpips_diversity", "memorised_share", "class_drift",
    }  # fmt: skip
    lower = [name for name, each in METRICS.items() if not each.higher_is_better]
    assert lower == ["clip_mmd", "memorised_share", "class_drift"]
    assert all(each.meaning.endswith(".") and each.title for each in METRICS.values())
