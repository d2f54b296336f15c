"""The training step that all techniques share."""

from __future__ import annotations

import gc
import logging
import re
import weakref
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import BatchSizeFinder
from torch.utils.data import DataLoader, TensorDataset

from sdtune.data.style import StyleDataModule
from sdtune.functional import Stream, counter_randint, counter_randn, min_snr_weights
from sdtune.techniques.lora_style import LoRAStyleModule
from sdtune.techniques.training_draws import TrainingDraws
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer
from tests.techniques.small_lora import small_batch, small_module


@pytest.fixture
def data(tmp_path: Path) -> StyleDataModule:
    folder = make_picture_folder(tmp_path / "discs", count=6)
    return StyleDataModule(
        str(folder), resolution=64, batch_size=2, validation_count=2, cache_dir=str(tmp_path)
    )


@pytest.mark.parametrize("fixture", ["micro_sd", "tiny_sd_v"])
@pytest.mark.parametrize("min_snr_gamma", [None, 5.0])
def test_the_loss_is_its_formula(
    fixture: str, min_snr_gamma: float | None, request: pytest.FixtureRequest
) -> None:
    module = small_module(request.getfixturevalue(fixture), min_snr_gamma=min_snr_gamma)
    model, batch = module.model, small_batch()
    with torch.no_grad():
        outputs = module.training_step(batch, 0)
        mean, log_variance = batch["moments"].chunk(2, dim=1)
        drawn = {
            stream: counter_randn((4, 8, 8), 42, stream, 0, [0, 1])
            for stream in (Stream.POSTERIOR, Stream.NOISE)
        }
        latents = mean + torch.exp(0.5 * log_variance) * drawn[Stream.POSTERIOR]
        latents = latents * model.vae.config.scaling_factor
        timesteps = counter_randint(0, 1000, 42, Stream.TIMESTEP, 0, [0, 1])
        scheduler, noise = model.noise_scheduler, drawn[Stream.NOISE]
        target = noise
        if model.prediction_type == "v_prediction":
            target = scheduler.get_velocity(latents, noise, timesteps)
        model_pred = model(
            scheduler.add_noise(latents, noise, timesteps),
            timesteps,
            model.encode_prompts(batch["caption"]),
        )
        losses = (model_pred - target).square().mean(dim=(1, 2, 3))
        if min_snr_gamma:
            losses = losses * min_snr_weights(
                timesteps, model.alphas_cumprod, min_snr_gamma, model.prediction_type
            )
    torch.testing.assert_close(outputs["loss"], losses.mean())
    torch.testing.assert_close(outputs["sample_losses"], losses)
    assert outputs["timesteps"].equal(timesteps)


def test_places_weigh_the_loss_of_training_and_validation(
    micro_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = small_module(micro_sd)
    monkeypatch.setattr(module, "log", lambda name, value, **_: logged.update({name: value}))
    logged: dict[str, torch.Tensor] = {}
    pixels = torch.zeros(2, 1, 64, 64)  # as fine as the pictures: the latents are 8 x 8
    pixels[0, :, :, :12] = 1.0
    pixels[1] = 0.25
    batch, seen = small_batch(), []
    forward = module.model.forward
    monkeypatch.setattr(
        module.model,
        "forward",
        lambda *inputs: seen.append(forward(*inputs).requires_grad_().clone()) or seen[-1],
    )
    with torch.no_grad():
        plain = module.training_step(batch, 0)["sample_losses"]
    losses, _ = module.training_losses({**batch, "loss_weights": pixels}, number=0)
    seen[-1].retain_grad()
    losses.sum().backward()
    gradient = seen[-1].grad
    assert gradient is not None
    assert gradient[0, :, :, :2].abs().min() > 0
    assert not gradient[0, :, :, 2:].any()
    torch.testing.assert_close(losses[1], plain[1])
    assert losses[0] != plain[0]
    with torch.no_grad():
        module.validation_step(batch, 0)
        before = logged["val/loss"]
        module.validation_step({**batch, "loss_weights": pixels}, 0)
    assert logged["val/loss"] != before


def test_noise_offset_shifts_whole_channels(micro_sd: Path) -> None:
    plain, shifted = (small_module(micro_sd, noise_offset=offset) for offset in (0.0, 0.1))
    latents = torch.zeros(2, 4, 8, 8)
    draws = TrainingDraws(42, [0, 1], None, 0)
    difference = shifted._noise(latents, draws) - plain._noise(latents, draws)
    offsets = counter_randn((4, 1, 1), 42, Stream.OFFSET, 0, [0, 1])
    torch.testing.assert_close(difference, (0.1 * offsets).expand(2, 4, 8, 8))


def _noted(outputs: dict, seen: list[float]) -> dict:
    seen.append(float(outputs["loss"]))
    return outputs


@pytest.mark.slow
def test_latents_and_prompts_that_find_no_room_are_not_kept(
    micro_sd: Path, data: StyleDataModule, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    monkeypatch.setenv("SDTUNE_CACHE_LIMIT", "1KB")
    modules = []
    for _ in range(2):
        module = LoRAStyleModule(str(micro_sd), rank=2, optimizer="sgd_nesterov", learning_rate=0.1)
        again = StyleDataModule(data.folder, resolution=64, batch_size=2, cache_dir=data.cache_dir)
        with caplog.at_level(logging.INFO, logger="lightning.pytorch"):
            quiet_trainer(max_steps=3).fit(module, again)
        modules.append(module)
        if again.features.limit == 1_000:
            assert len(again.features) == 0
            assert re.search(
                r"latents would take \S+ KB, and there is room for 1.0 KB", caplog.text
            )
            assert "so each is encoded when it is met" in caplog.text
        monkeypatch.delenv("SDTUNE_CACHE_LIMIT", raising=False)
    assert len(again.features) > 0
    fresh, kept = (module.state_dict() for module in modules)
    for name, value in kept.items():
        torch.testing.assert_close(value, fresh[name], rtol=1e-2, atol=2e-5)


@pytest.mark.slow
def test_cached_and_fresh_latents_train_the_same(micro_sd: Path, data: StyleDataModule) -> None:
    modules, losses = [], []
    for cache_latents in (True, False):
        # Adam would make a sign, and so a whole step, of what rounding leaves of a small gradient
        module = LoRAStyleModule(str(micro_sd), rank=2, optimizer="sgd_nesterov", learning_rate=0.1)
        again = StyleDataModule(
            data.folder,
            resolution=64,
            batch_size=2,
            flip=True,
            cache_latents=cache_latents,
            cache_dir=data.cache_dir,
        )
        seen: list[float] = []
        step = module.training_step
        module.training_step = lambda *a, _step=step, _seen=seen: _noted(_step(*a), _seen)
        quiet_trainer(max_steps=3).fit(module, again)
        modules.append(module)
        losses.append(seen)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert len(losses[0]) == 3
    cached, fresh = (module.state_dict() for module in modules)
    assert max(value.abs().max() for name, value in cached.items() if "lora_B" in name) > 5e-4
    for name, value in cached.items():
        # pictures are encoded one by one for the cache and in batches without it
        torch.testing.assert_close(value, fresh[name], rtol=1e-2, atol=2e-5)


def test_validation_does_not_depend_on_the_epoch_or_the_random_state(
    micro_sd: Path, data: StyleDataModule
) -> None:
    losses = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        module = LoRAStyleModule(str(micro_sd), rank=2)
        losses += quiet_trainer().validate(module, data, verbose=False)
    assert losses[0] == losses[1]
    assert losses[0]["val/loss"] > 0


@pytest.mark.slow
def test_validation_loss_falls_when_the_model_learns(micro_sd: Path, data: StyleDataModule) -> None:
    module = LoRAStyleModule(str(micro_sd), rank=8, learning_rate=1e-2, target_modules="all")
    (before,) = quiet_trainer().validate(module, data, verbose=False)
    quiet_trainer(max_steps=30, limit_val_batches=0).fit(module, data)
    (after,) = quiet_trainer().validate(module, data, verbose=False)
    assert after["val/loss"] < 0.9 * before["val/loss"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base": "no such base"}, "Expected `base` to be `nano`"),
        ({"min_snr_gamma": 0.0}, "`min_snr_gamma` to be a positive number, but got 0.0"),
        ({"noise_offset": -0.1}, "`noise_offset` to be 0 or more"),
        ({"clip_skip": 0}, "`clip_skip` to be a positive integer"),
        ({"rank": 0}, "`rank` to be a positive integer, but got 0"),
    ],
)
def test_bad_arguments_are_refused_before_weights_load(
    arguments: dict, message: str, micro_sd: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        LoRAStyleModule(**({"base": str(micro_sd)} | arguments))


def test_all_bad_arguments_are_listed_at_once() -> None:
    with pytest.raises(ValueError, match="rank") as caught:
        LoRAStyleModule("no such base", rank=0, optimizer="adam", learning_rate=-1.0)
    assert len(str(caught.value).splitlines()) == 4


def test_who_makes_a_technique_is_not_kept_by_it() -> None:
    class Held:
        pass

    def use() -> weakref.ref[Held]:
        held = Held()
        assert LoRAStyleModule(rank=2).hparams["rank"] == 2
        return weakref.ref(held)

    gc.disable()
    try:
        assert use()() is None
    finally:
        gc.enable()


def test_a_schedule_ends_with_the_run_whose_size_of_batches_was_found(
    micro_sd: Path, data: StyleDataModule
) -> None:
    """An epoch has as many batches as the size that was found gives, within the Trainer's limit."""
    data.batch_size = 1
    module = LoRAStyleModule(str(micro_sd), rank=2, lr_schedule="linear")
    trainer = quiet_trainer(
        max_steps=-1,
        max_epochs=2,
        limit_train_batches=0.5,
        callbacks=[BatchSizeFinder(max_trials=1, steps_per_trial=1, init_val=2, margin=0.0)],
    )
    trainer.fit(module, data)
    schedule = trainer.lr_scheduler_configs[0].scheduler
    assert data.batch_size > 1
    assert trainer.global_step == schedule.max_steps
    assert schedule.get_last_lr() == [0.0]


@pytest.mark.parametrize("missing", ["index", "caption", "moments"])
def test_a_batch_of_another_loader_that_lacks_something_is_refused_in_one_sentence(
    missing: str, micro_sd: Path
) -> None:
    module, batch = small_module(micro_sd), small_batch()
    del batch[missing]
    message = (
        f"Expected a batch to be a dict with .*`index`.*but the loader gives `{next(iter(batch))}`"
    )
    with pytest.raises(ValueError, match=message):
        module.training_step(batch, 0)
    with pytest.raises(ValueError, match=message):
        module.validation_step(batch, 0)


def test_a_batch_that_is_no_dict_is_refused_in_one_sentence(micro_sd: Path) -> None:
    loader = DataLoader(TensorDataset(torch.zeros(2, 3, 64, 64)))
    with pytest.raises(ValueError, match=r"Expected a batch to be a dict .* gives a list: let"):
        quiet_trainer(max_steps=1).fit(LoRAStyleModule(str(micro_sd), rank=2), loader)
