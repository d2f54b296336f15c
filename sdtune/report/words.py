"""What a metric does not mean, and times as a reader sees them."""

from __future__ import annotations

__all__ = ["LIMITS", "duration"]

LIMITS: dict[str, str] = {
    "clip_score": "It does not say whether a picture is beautiful, nor in which style it is drawn.",
    "style_score": "It does not say whether a picture shows what was asked for.",
    "clip_i": "It does not tell a likeness that was learned from a copy.",
    "dino": "It does not tell a likeness that was learned from a copy.",
    "clip_mmd": "It says nothing of a single picture, and little where there are few of them.",
    "ssim": "It compares pixels in place: the same thing drawn elsewhere scores low.",
    "ssim_nearest": "It compares pixels in place: a copy that was moved or mirrored scores low.",
    "lpips_diversity": "It does not say whether any of the pictures is good.",
    "memorised_share": "It does not prove a copy: look at the pairs below.",
    "class_drift": "It does not say whether the change is for the better.",
}
"""Metric -> what it does not mean, in one sentence."""


def duration(seconds: float) -> str:
    """Write a time as one reads it aloud: `41 s`, `2 min 18 s`, `3 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
