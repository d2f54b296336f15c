"""At high noise the target is the untuned base's, but for colour; below the level the usual."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sdtune.data.style import StyleDataModule
from sdtune.functional import add_noise, target_slope, training_target
from sdtune.techniques.content_preservation import ContentPreservation
from sdtune.techniques.lora_style import LoRAStyleModule
from sdtune.techniques.training_draws import TrainingDraws
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer

_BATCH: dict[str, Any] = {
    "moments": torch.zeros(6, 8, 8, 8),
    "caption": ["a c", "b"] * 3,
    "index": list(range(6)),
}


def _module(base: Path, above: float | None, **arguments: Any) -> LoRAStyleModule:
    """A LoRA that has learned something already: its second matrices are not zero."""
    module = LoRAStyleModule(str(base), rank=2, keep_content_above=above, **arguments)
    module.load_base()
    generator = torch.Generator().manual_seed(0)
    for name, parameter in module.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.3, generator=generator)
    return module


def _draws(module: LoRAStyleModule) -> TrainingDraws:
    """What the first call of `training_losses` draws."""
    return TrainingDraws(module.seed, _BATCH["index"], None, 0)


def _inputs(module: LoRAStyleModule) -> tuple[Tensor, Tensor, Tensor]:
    """The noisy latents, timesteps and predictions of `_BATCH`."""
    draws = _draws(module)
    latents, timesteps = module._latents(_BATCH, draws), module._timesteps(draws)
    noise = module._noise(latents, draws)
    noisy = add_noise(latents, noise, timesteps, module.model.alphas_cumprod)
    return noisy, timesteps, module.model(noisy, timesteps, module.encode(_BATCH["caption"]))


def _base_moved(module: LoRAStyleModule) -> tuple[Tensor, Tensor]:
    """Of `_BATCH`'s samples above the level: which they are, and the base's, moved in colour."""
    noisy, timesteps, _ = _inputs(module)
    draws = _draws(module)
    latents = module._latents(_BATCH, draws)
    noise = module._noise(latents, draws)
    schedule = module.model.alphas_cumprod, module.model.prediction_type
    with module.untuned(), torch.no_grad():
        base = module.model(noisy, timesteps, module.encode(_BATCH["caption"]))
    above = timesteps >= 500
    differences = (training_target(latents, noise, timesteps, *schedule) - base)[above]
    slopes = target_slope(timesteps[above], *schedule)[:, None]
    step = torch.linalg.lstsq(slopes, differences.mean(dim=(2, 3))).solution
    return above, base[above] + (slopes * step)[:, :, None, None]


@pytest.mark.parametrize("text_encoder_rate", [None, 1e-4])
def test_above_the_level_the_loss_is_the_distance_to_the_base_but_for_colour(
    micro_sd: Path, text_encoder_rate: float | None
) -> None:
    rates = {"text_encoder_learning_rate": text_encoder_rate}
    module, plain = _module(micro_sd, 0.5, **rates), _module(micro_sd, None, **rates)
    _, timesteps, learned = _inputs(module)
    above, base = _base_moved(module)
    losses, drawn = module.training_losses(_BATCH)
    usual, _ = plain.training_losses(_BATCH)
    assert drawn.equal(timesteps)
    assert 0 < above.sum() < len(above)
    expected = (learned[above] - base).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(losses[above], expected)
    torch.testing.assert_close(losses[~above], usual[~above])


def test_the_base_has_no_gradient_and_what_learns_has_its_own(micro_sd: Path) -> None:
    module = _module(micro_sd, 0.5)
    learned = _inputs(module)[2]
    above, base = _base_moved(module)
    expected = (learned[above] - base).square().mean(dim=(1, 2, 3)).sum()
    parameters = [each for each in module.parameters() if each.requires_grad]
    gradients = torch.autograd.grad(expected, parameters)
    losses, _ = module.training_losses(_BATCH)
    found = torch.autograd.grad(losses[above].sum(), parameters)
    for one, other in zip(gradients, found, strict=True):
        torch.testing.assert_close(one, other)


def test_a_fresh_adapter_has_colour_alone_to_learn_above_the_level(micro_sd: Path) -> None:
    module = LoRAStyleModule(str(micro_sd), rank=2, keep_content_above=0.5)
    module.load_base()
    base = _inputs(module)[2]
    above, moved = _base_moved(module)
    losses, _ = module.training_losses(_BATCH)
    shift = (moved - base[above]).mean(dim=(2, 3))
    torch.testing.assert_close(losses[above], shift.square().mean(dim=1))
    assert losses[~above].detach().min() > 1e-3


@pytest.mark.slow
def test_what_was_seen_of_the_colour_is_kept_and_seen_anew_in_another_fit(
    micro_sd: Path, tmp_path: Path
) -> None:
    folder = make_picture_folder(tmp_path / "pictures", count=4)

    def fit(module: LoRAStyleModule, **arguments: Any) -> Tensor:
        trainer = quiet_trainer(max_steps=3, default_root_dir=tmp_path)
        data = StyleDataModule(folder, resolution=64, batch_size=2)
        trainer.fit(module, data, **arguments)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        kept: Tensor = torch.load(tmp_path / "last.ckpt", weights_only=True)["colour_shift"]
        return kept

    module = LoRAStyleModule(str(micro_sd), rank=2, keep_content_above=0.1)
    first = fit(module)
    assert first.shape == (5,)
    assert fit(module).equal(first)
    other = LoRAStyleModule(str(micro_sd), rank=2, keep_content_above=0.1)
    assert fit(other, ckpt_path=tmp_path / "last.ckpt").equal(first)  # nothing left to train
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    torch.save({k: v for k, v in checkpoint.items() if k != "colour_shift"}, tmp_path / "old.ckpt")
    other = LoRAStyleModule(str(micro_sd), rank=2, keep_content_above=0.1)
    with pytest.warns(UserWarning, match="kept the base's colours too"):
        quiet_trainer(max_steps=3, default_root_dir=tmp_path).fit(
            other,
            StyleDataModule(folder, resolution=64, batch_size=2),
            ckpt_path=tmp_path / "old.ckpt",
        )


def test_the_base_computes_what_is_above_the_level_alone(
    micro_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = _module(micro_sd, 0.5)
    rows: list[int] = []
    module.model.unet.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    _, timesteps = module.training_losses(_BATCH)
    assert sorted(rows) == [int((timesteps >= 500).sum()), 6]
    rows.clear()
    one = {"moments": _BATCH["moments"][:1], "caption": ["b"], "index": [0]}
    monkeypatch.setattr(module, "_timesteps", lambda draws: torch.tensor([499]))
    module.training_losses(one)
    assert rows == [1]


def test_rows_are_those_at_and_above_the_level() -> None:
    timesteps = torch.tensor([0, 699, 700, 999, 300])
    assert ContentPreservation(0.7).rows(timesteps, 1000) == [2, 3]


@pytest.mark.parametrize("above", [0.0, 1.0, -0.5, 700])
def test_what_is_no_share_is_refused(micro_sd: Path, above: float) -> None:
    with pytest.raises(ValueError, match="`keep_content_above` to be a share"):
        LoRAStyleModule(str(micro_sd), keep_content_above=above)
    with pytest.raises(TypeError, match="`keep_content_above` to be a number or None, but got Tr"):
        LoRAStyleModule(str(micro_sd), keep_content_above=True)
