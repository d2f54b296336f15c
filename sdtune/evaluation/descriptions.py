"""The metrics of an evaluation in plain words, for those who read its record."""

from __future__ import annotations

from sdtune.run_folder.record import MetricDescription

__all__ = ["METRICS"]

METRICS: dict[str, MetricDescription] = {
    "clip_score": MetricDescription(
        "CLIP score",
        True,
        "How well a picture shows what its prompt says: 100 times the cosine of the two in the "
        "space of a CLIP.",
    ),
    "style_score": MetricDescription(
        "style score",
        True,
        "How far the drawing is in the style of the training pictures, whatever it shows: 0 where "
        "the base draws, 1 where new pictures of the style lie.",
    ),
    "clip_i": MetricDescription(
        "CLIP-I",
        True,
        "How much a picture is like the training pictures: its mean cosine to them in the space "
        "of a CLIP.",
    ),
    "dino": MetricDescription(
        "DINO",
        True,
        "The same in the space of a DINO, which tells one subject from others of its class.",
    ),
    "clip_mmd": MetricDescription(
        "CLIP-MMD",
        False,
        "How far the pictures as a set are from the training pictures, in thousandths; about 0 if "
        "they could be of the same set.",
    ),
    "ssim": MetricDescription(
        "SSIM",
        True,
        "How much a picture's layout is like that of the training pictures, on grey pictures: the "
        "mean over all of them.",
    ),
    "ssim_nearest": MetricDescription(
        "SSIM, nearest",
        True,
        "How much a picture's layout is like that of the training picture most like it; near 1 is "
        "a copy.",
    ),
    "lpips_diversity": MetricDescription(
        "diversity",
        True,
        "How different the pictures of one prompt are from each other, by LPIPS; 0 if every seed "
        "gives the same picture.",
    ),
    "memorised_share": MetricDescription(
        "memorised",
        False,
        "The share of pictures that are closer to a training picture than training pictures are "
        "to each other, and so may be copies.",
    ),
    "class_drift": MetricDescription(
        "class drift",
        False,
        "How far training moved what the class itself looks like: 1 less the cosine of tuned and "
        "base pictures of the class's prompts, in the space of a CLIP.",
    ),
}
"""Metric -> title, direction and meaning, in the order in which they are shown."""
