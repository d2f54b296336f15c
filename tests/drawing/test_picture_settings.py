from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from sdtune.drawing.picture_settings import KEYWORD, read_settings, settings_text
from sdtune.drawing.settings import Batch, PictureSettings, UsedAdapter, UsedBase

SETTINGS = PictureSettings(
    "a café\n<erica>, {x}",
    UsedBase("nano", "ab" * 32),
    [UsedAdapter("style", "cd" * 32, 0.8, "runs/a"), UsedAdapter("erica", "ef" * 32)],
    "blurry",
    seed=7,
    width=64,
    height=32,
    sampler="euler_a",
    batch=Batch(6, 2),
)


def picture(path: Path, **texts: str) -> Path:
    header = PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        header.add_text(keyword.replace("__", "."), text)
    Image.new("RGB", (8, 8)).save(path, "PNG", pnginfo=header)
    return path


def test_settings_go_into_a_picture_and_back(tmp_path: Path) -> None:
    text = settings_text(SETTINGS)
    assert read_settings(picture(tmp_path / "a.png", **{KEYWORD: text})) == SETTINGS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_inference_steps": 10**9}, "`num_inference_steps` to be from 1 to 1000"),
        ({"width": 100_000}, "`width` to be from 8 to 4096"),
        ({"seed": -1}, "`seed` to be from 0"),
        ({"guidance_scale": "7"}, "`guidance_scale` to be a number, but got '7'"),
        ({"guidance_scale": -1.0}, "`guidance_scale` to be 0 or more"),
        ({"sampler": "rm -rf"}, "`sampler` to be one of 'dpm\\+\\+'"),
        ({"prompt": "a" * 30_000}, "`prompt` to have at most 20000 characters"),
        ({"max_prompt_chunks": 10**6}, "`max_prompt_chunks` to be from 1 to 64"),
        ({"clip_skip": 0}, "`clip_skip` to be a positive integer"),
        ({"batch": {"size": 10**6, "index": 0}}, "`batch.size` to be from 1 to 64"),
        ({"batch": {"size": 2, "index": 2}}, "`batch.index` to be from 0 to 1"),
        ({"adapters": [{"name": "a", "sha256": "a", "strength": 1e9}]}, "the strength of `a`"),
        ({"adapters": [{"name": "a", "sha256": "a"}] * 99}, "number of adapters` to be from 0"),
        ({"version": 2}, "of version 1, but they are of 2"),
        ({"base": "nano"}, "`base` to be a mapping"),
    ],
)
def test_what_a_stranger_wrote_is_bounded(change: dict, message: str, tmp_path: Path) -> None:
    content = {**json.loads(settings_text(SETTINGS)), **change}
    path = picture(tmp_path / "a.png", **{KEYWORD: json.dumps(content)})
    with pytest.raises(ValueError, match=message):
        read_settings(path)


def test_other_files_are_refused_with_what_to_do(tmp_path: Path) -> None:
    def refuses(path: Path, message: str, error: type[Exception] = ValueError) -> None:
        with pytest.raises(error, match=message):
            read_settings(path)

    refuses(tmp_path / "gone.png", "there is no such file", FileNotFoundError)
    refuses(tmp_path, "there is no such file", FileNotFoundError)
    refuses(picture(tmp_path / "a.png"), "but it holds none: give the prompt and the rest")
    refuses(picture(tmp_path / "b.png", parameters="a cat"), "only those of another program")
    refuses(picture(tmp_path / "c.png", **{KEYWORD: "{"}), "Expected JSON")
    refuses(picture(tmp_path / "d.png", **{KEYWORD: "[" * 500_000}), "at most 100000 characters")
    (tmp_path / "e.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 100)
    refuses(tmp_path / "e.png", "to be a PNG")
