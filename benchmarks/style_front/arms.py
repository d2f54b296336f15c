"""The arms: ways to train, and which styles each is run on."""

from __future__ import annotations

from typing import Any

from benchmarks.style_front.training import Arm

__all__ = ["ARMS"]

_SCRIPT: dict[str, Any] = {  # what common scripts train, but for the rate
    "target_modules": "attention", "lr_schedule": "constant", "warmup_steps": 0,
}  # fmt: skip
_NO_READING = [  # all but what reads the prompt
    "attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0",
    "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2",
    "conv1", "conv2", "conv_shortcut", "time_emb_proj",
    "downsamplers.0.conv", "upsamplers.0.conv",
]  # fmt: skip
_ALL = {"name": "all_kept"}


def _keep(above: float, **more: Any) -> dict[str, Any]:
    return {"keep_content_above": above, **more}


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm("plain", title="the recipe, nothing kept"),
        Arm("shift_85", _keep(0.85), title="all but the style's colour kept above 85 %"),
        Arm("shift_70", _keep(0.7), title="all but the style's colour kept above 70 %"),
        Arm("keep_85", _keep(0.85), candidate=_ALL, title="the base's predictions above 85 %"),
        Arm("keep_70", _keep(0.7), candidate=_ALL, title="the base's predictions above 70 %"),
        Arm("colour_85", _keep(0.85), candidate={"name": "own_colour"}),
        Arm("bridge_75", _keep(0.75), candidate={"name": "bridge"}),
        Arm("bridge_60", _keep(0.6), candidate={"name": "bridge"}),
        Arm("bridge_50", _keep(0.5), candidate={"name": "bridge"}),
        Arm("at_once_60", _keep(0.6), candidate={"name": "bridge_at_once"}),
        Arm("at_once_70", _keep(0.7), candidate={"name": "bridge_at_once"}),
        Arm("at_once_50", _keep(0.5), candidate={"name": "bridge_at_once"}),
        Arm("at_once_60_half", _keep(0.6), candidate={"name": "bridge_at_once", "every": 2}),
        Arm("at_once_60_kept", _keep(0.6), candidate={"name": "bridge_at_once", "kept_for": 6}),
        Arm("at_once_60_more", _keep(0.6), candidate={"name": "bridge_at_once_more_below"}),
        Arm(
            "at_once_60_more_kept",
            _keep(0.6),
            candidate={"name": "bridge_at_once_more_below", "kept_for": 6},
        ),
        Arm("at_once_85", _keep(0.85), candidate={"name": "bridge_at_once"}),
        Arm("other_85", _keep(0.85), candidate={"name": "other_captions"}),
        Arm("script_1e-4", {**_SCRIPT, "learning_rate": 1e-4}, {"caption_dropout": 0.0}),
        Arm("script_1e-3", {**_SCRIPT, "learning_rate": 1e-3}, {"caption_dropout": 0.0}),
        Arm("script_2e-3", {**_SCRIPT, "learning_rate": 2e-3}, {"caption_dropout": 0.0}),
        Arm("no_reading", {"target_modules": _NO_READING}),
        Arm("dropout_40", {}, {"caption_dropout": 0.4}),
        Arm("soft_60_95", _keep(0.6), candidate={"name": "soft_level", "end": 0.95}),
        Arm("below_70", candidate={"name": "below_only", "level": 0.7}),
        Arm("more_below_70", _keep(0.7), candidate={"name": "more_below", "share": 0.12}),
        Arm("shift_85_fast", _keep(0.85, learning_rate=4e-3)),
        Arm("shift_85_rank_64", _keep(0.85, rank=64, alpha=64)),
        Arm("min_snr", {"min_snr_gamma": 5.0}),
        Arm("shift_85_min_snr", _keep(0.85, min_snr_gamma=5.0)),
        Arm("ema_99", averaged=0.99),
        Arm("decay", {"weight_decay": 1.0}),
    )
}
