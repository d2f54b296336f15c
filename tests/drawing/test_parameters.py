from __future__ import annotations

import re
from dataclasses import replace

from sdtune.drawing.parameters import parameters_text
from sdtune.drawing.settings import PictureSettings, UsedAdapter, UsedBase

SETTINGS = PictureSettings(
    "a cat, asleep",
    UsedBase("models/dream: v2.safetensors", "ab" * 32),
    [UsedAdapter("style", "cd", 0.8), UsedAdapter("erica", "ef")],
    seed=7,
    width=640,
    height=384,
    sampler="dpm++_sde_karras",
)


def test_it_is_written_as_a1111_does() -> None:
    assert parameters_text(
        replace(SETTINGS, negative_prompt="blurry, dark", clip_skip=2),
        model_hash="0123456789",
        lora_hashes={"style": "aabbccddeeff"},
        words={"cat": "kitten"},
    ) == (
        "a kitten, asleep <lora:style:0.8>\n"
        "Negative prompt: blurry, dark\n"
        "Steps: 25, Sampler: DPM++ 2M SDE, Schedule type: Karras, CFG scale: 7.5, Seed: 7, "
        "Size: 640x384, Model hash: 0123456789, Model: dream v2, Clip skip: 2, "
        'Lora hashes: "style: aabbccddeeff", Version: sdtune'
    )


def test_a1111_reads_every_value() -> None:
    """Its last line is split by an expression of A1111's form: a value is quoted, or no comma."""
    text = parameters_text(SETTINGS, model_hash="0", lora_hashes={"style": "a", "erica": "b"})
    *prompt, last = text.split("\n")
    assert prompt == ["a cat, asleep <lora:style:0.8> <lora:erica:1>"]
    pairs = re.findall(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)', last)
    assert dict(pairs) == {
        "Steps": "25",
        "Sampler": "DPM++ 2M SDE",
        "Schedule type": "Karras",
        "CFG scale": "7.5",
        "Seed": "7",
        "Size": "640x384",
        "Model hash": "0",
        "Model": "dream v2",
        "Lora hashes": '"style: a, erica: b"',
        "Version": "sdtune",
    }
