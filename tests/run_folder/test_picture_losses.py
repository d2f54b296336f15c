import json

import pytest

from sdtune.files.json_file import JsonFileError
from sdtune.run_folder.picture_losses import (
    PictureLoss,
    read_picture_losses,
    write_picture_losses,
)

LOSSES = {"b/hard.png": PictureLoss(0.25, 1.5, 9), "easy.png": PictureLoss(0.125, 0.5, 10)}


def test_losses_come_back_hardest_first(tmp_path):
    path = tmp_path / "picture_losses.json"
    write_picture_losses(path, dict(reversed(LOSSES.items())))
    assert list(read_picture_losses(path).items()) == list(LOSSES.items())
    write_picture_losses(path, LOSSES)
    assert (
        path.read_text(encoding="utf-8")
        == json.dumps(
            {
                "version": 1,
                "pictures": {
                    "b/hard.png": {"loss": 0.25, "relative_loss": 1.5, "count": 9},
                    "easy.png": {"loss": 0.125, "relative_loss": 0.5, "count": 10},
                },
            },
            indent=1,
        )
        + "\n"
    )


def test_all_that_is_wrong_is_said(tmp_path):
    path = tmp_path / "picture_losses.json"
    wrong = {"loss": "low", "relative_loss": 1.0}
    path.write_text(json.dumps({"version": 1, "pictures": {"a.png": wrong, "../b.png": {}}}))
    with pytest.raises(JsonFileError) as caught:
        read_picture_losses(path)
    assert [each.removeprefix(f"{path}: ") for each in caught.value.problems] == [
        "Expected `pictures.a.png.loss` to be a number, but got 'low'.",
        "Expected `pictures.a.png.count` to be given, but it is missing.",
        "Expected each key of `pictures` to be a path below its folder, but got '../b.png'.",
        "Expected `pictures.../b.png.loss` to be given, but it is missing.",
        "Expected `pictures.../b.png.relative_loss` to be given, but it is missing.",
        "Expected `pictures.../b.png.count` to be given, but it is missing.",
    ]
