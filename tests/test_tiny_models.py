from __future__ import annotations

from pathlib import Path

from sdtune.models import load
from tests.tiny_models import make_tiny_sd

UNET_TARGETS = (
    "to_q",
    "to_k",
    "to_v",
    "to_out.0",
    "proj_in",
    "proj_out",
    "ff.net.0.proj",
    "ff.net.2",
)
TEXT_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


def test_modules_are_as_many_as_stable_diffusion_1_has(tiny_sd: Path) -> None:
    """An adapter of SD 1.5 in full has 192 UNet and 72 text encoder modules."""
    model = load(tiny_sd)
    assert sum(name.endswith(UNET_TARGETS) for name, _ in model.unet.named_modules()) == 192
    text_encoder = model.text_encoders[0]
    assert sum(name.endswith(TEXT_TARGETS) for name, _ in text_encoder.named_modules()) == 72


def test_a_seed_gives_the_same_weights(tiny_sd: Path, tmp_path: Path) -> None:
    again = load(make_tiny_sd(tmp_path / "again"))
    other = load(make_tiny_sd(tmp_path / "other", seed=1))
    assert again.fingerprint("unet") == load(tiny_sd).fingerprint("unet")
    assert other.fingerprint("unet") != again.fingerprint("unet")


def test_no_two_texts_share_their_tokens(tiny_sd: Path) -> None:
    model = load(tiny_sd)
    tokens = model.tokenize(["a cat", "a cats", "cat a", "чёрный кот", "猫", "👀"])
    assert len({tuple(row) for row in tokens.tolist()}) == 6
    assert tokens[:, 0].unique().item() == model.tokenizers[0].bos_token_id
