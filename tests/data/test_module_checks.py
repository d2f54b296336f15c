"""Data modules out of checkpoints, which keep nested settings as mappings."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

from sdtune.data.buckets import BucketSettings
from sdtune.data.concept import Concept
from sdtune.data.concepts import ConceptsDataModule
from sdtune.data.module_checks import settings_of
from sdtune.data.style import StyleDataModule
from sdtune.data.subject import SubjectDataModule

BUCKETS = BucketSettings(step=8, largest=64, enlarge=False)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (StyleDataModule, {"folder": "pictures"}),
        (SubjectDataModule, {"instance_dir": "pictures", "class_noun": "cat"}),
        (
            ConceptsDataModule,
            {"concepts": [Concept("cats", "a <cat>"), Concept("dogs", "a <dog>", repeats=2)]},
        ),
    ],
)
def test_a_checkpoint_alone_makes_the_data_module_again(
    kind: type[pl.LightningDataModule], arguments: dict[str, Any], tmp_path: Path
) -> None:
    data: Any = kind(**arguments, resolution=32, buckets=BUCKETS)
    checkpoint = {
        "pytorch-lightning_version": pl.__version__,
        kind.CHECKPOINT_HYPER_PARAMS_KEY: dict(data.hparams),
    }
    torch.save(checkpoint, tmp_path / "last.ckpt")
    loaded: Any = kind.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert loaded.buckets == BUCKETS
    assert getattr(loaded, "concepts", None) == getattr(data, "concepts", None)
    assert loaded.hparams == data.hparams


def test_settings_are_left_as_they_are_and_made_of_a_mapping() -> None:
    assert settings_of("buckets", BucketSettings, BUCKETS) is BUCKETS
    assert settings_of("buckets", BucketSettings, asdict(BUCKETS)) == BUCKETS
    assert settings_of("buckets", BucketSettings, {"step": 16}) == BucketSettings(16)


@pytest.mark.parametrize("given", [{"stride": 8}, {}])
def test_a_mapping_of_other_names_is_refused(given: dict[str, object]) -> None:
    message = r"Expected `concepts\[0\]` to be a Concept, or a mapping of `instance_dir`, .*but got"
    with pytest.raises(ValueError, match=message):
        settings_of("concepts[0]", Concept, given)
