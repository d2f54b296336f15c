"""The memorisation measure on nano: a LoRA that has seen four pictures too often."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdtune.data.scan import scan_pictures
from sdtune.data.style import StyleDataModule
from sdtune.evaluation.best import BestRule
from sdtune.evaluation.judges import load_judges
from sdtune.evaluation.suite import Suite
from sdtune.evaluation.training_set import TrainingSet
from sdtune.techniques.lora_style import LoRAStyleModule
from tests.quiet_trainer import quiet_trainer

SUBJECT = Path(__file__).parents[2] / "datasets" / "subject_cat"


@pytest.mark.slow
def test_a_lora_over_trained_on_four_pictures_is_flagged_and_the_base_is_not(tmp_path):
    pictures, _ = scan_pictures(SUBJECT)
    training = TrainingSet(pictures[:4], held_out=pictures[4:])
    for picture in training.pictures:
        (tmp_path / picture.name).write_bytes(picture.path.read_bytes())
        (tmp_path / picture.name).with_suffix(".txt").write_text(picture.caption)
    module = LoRAStyleModule(
        base="nano", rank=16, target_modules="all", learning_rate=6e-3, lr_schedule="cosine"
    )
    data = StyleDataModule(
        tmp_path, resolution=64, batch_size=4, repeats=10, cache_dir=tmp_path / "cache"
    )
    quiet_trainer(max_steps=40).fit(module, data)

    captions = [picture.caption for picture in training.pictures]
    seeds = [0, 1]
    suite = Suite(training, load_judges("nano", None, 1), captions, seeds, 0, size=(64, 64))
    shares = {}
    for use_adapter in (False, True):
        images = module.generate(
            [caption for caption in captions for _ in seeds],
            seeds * len(captions),
            num_inference_steps=4,
            guidance_scale=3.0,
            use_adapter=use_adapter,
        )
        scores = suite.score(images)
        shares[use_adapter] = float(scores.per_sample["memorised_share"].mean())
    # what chance alone flags, and what it cannot
    assert shares[False] <= BestRule().max_memorised_share
    assert shares[True] >= 0.75
