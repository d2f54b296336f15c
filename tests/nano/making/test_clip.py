"""nano's CLIP learns to match pictures with captions."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdtune.nano.making.clip import NanoCLIPModule
from sdtune.nano.making.scene_data import SceneDataModule
from tests.quiet_trainer import quiet_trainer


@pytest.mark.slow
def test_training_matches_better(sprites: Path, tokenizer: Path) -> None:
    """Of pictures half of which are rough, which is the harder half of its work."""
    module = NanoCLIPModule(
        str(tokenizer),
        learning_rate=2e-3,
        text_width=32,
        vision_width=32,
        layers=1,
        patch_size=16,
        rough_share=0.5,
    )
    data = SceneDataModule(str(sprites), batch_size=32, validation_scenes=100)
    (before,) = quiet_trainer().validate(module, data, verbose=False)
    quiet_trainer(max_steps=60).fit(module, data)
    (after,) = quiet_trainer().validate(module, data, verbose=False)
    assert before["val/top1_of_100"] < 0.06
    assert after["val/top1_of_100"] > 0.1
