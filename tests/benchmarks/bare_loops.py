"""Loops to compare a technique with: nothing but the networks, and what other trainers do."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sdtune.functional import add_noise, training_target
from sdtune.models import load
from sdtune.techniques.base import DiffusionFineTuningModule
from sdtune.techniques.optimization import build_optimizer

__all__ = ["BareLoop", "PlainTextualInversion"]


class BareLoop:
    """Steps of what the UNet, a text encoder that learns and the optimizer do, and no more.

    Inputs are made by `prepare`: noisy latents, timesteps and targets; prompts as token ids where
    they have to be encoded anew, as hidden states elsewhere.

    Args:
        module: A fresh technique, of which parameters and optimizer are taken.
    """

    def __init__(self, module: DiffusionFineTuningModule) -> None:
        module.load_base()
        self.module = module
        self.model = module.model
        self.optimizer = build_optimizer(
            module.optimizer, module.parameter_groups(), module.weight_decay
        )

    def prepare(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Make the inputs of a step from a batch of the technique's own, class samples included."""
        moments, captions = batch["moments"], list(batch["caption"])
        if "class_moments" in batch:
            moments = torch.cat([moments, batch["class_moments"]])
            captions += batch["class_caption"]
        inputs = _noisy(self.model, self.model.latents_from_moments(moments))
        # a technique encodes a caption once, if at all
        distinct = list(dict.fromkeys(captions))
        anew = [each for each in distinct if self.module.encodes_anew(each)]
        known = [each for each in distinct if not self.module.encodes_anew(each)]
        inputs["rows"] = torch.tensor([(anew + known).index(each) for each in captions])
        if anew:
            inputs["token_ids"] = self.model.tokenize(anew)
        if known:
            with torch.no_grad():
                inputs["known"] = self.model.encode_prompts(known).encoder_hidden_states
        return inputs

    def step(self, inputs: dict[str, Tensor]) -> None:
        """Train on prepared inputs."""
        parts = [inputs["known"]] if "known" in inputs else []
        if "token_ids" in inputs:
            encoded = self.model.text_encoders[0](inputs["token_ids"]).last_hidden_state
            parts.insert(0, encoded)
        hidden_states = torch.cat(parts) if len(parts) > 1 else parts[0]
        _loss(self.model, inputs, hidden_states[inputs["rows"]]).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


class PlainTextualInversion:
    """Textual Inversion as diffusers' script trains it.

    Every step encodes the pictures and their prompts; all rows of the table of embeddings have a
    gradient, Adam's moments and decay, and those that should not have moved are then put back.

    Args:
        base: A folder in diffusers' layout, or `nano`.
        keeps_table: Whether the whole table learns; without, only encoding is compared.
    """

    def __init__(self, base: str, keeps_table: bool = True) -> None:
        self.model = load(base)
        self.model.train()
        table = self.model.text_encoders[0].get_input_embeddings().weight
        self.table = table.requires_grad_(True)
        self.keeps_table = keeps_table
        self.initial = table.detach().clone()
        self.is_frozen = torch.ones(len(table), dtype=torch.bool)
        self.is_frozen[-1] = False
        self.optimizer = torch.optim.AdamW([table], lr=1e-4)

    def prepare(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Make pictures of the batch's size: what they show costs nothing."""
        side = self.model.resolution
        return {
            "pixel_values": torch.rand(len(batch["caption"]), 3, side, side) * 2 - 1,
            "captions": batch["caption"],
        }

    def step(self, inputs: dict[str, Any]) -> None:
        """Encode pictures and prompts, train, and put the table back."""
        model = self.model
        with torch.no_grad():
            moments = model.encode_images(inputs["pixel_values"])
            latents = model.latents_from_moments(moments, torch.randn_like(moments.chunk(2, 1)[0]))
        hidden_states = model.encode_prompts(inputs["captions"]).encoder_hidden_states
        _loss(model, _noisy(model, latents), hidden_states).backward()
        if self.keeps_table:
            self.optimizer.step()
            self.optimizer.zero_grad()
            with torch.no_grad():
                self.table[self.is_frozen] = self.initial[self.is_frozen]


def _noisy(model: Any, latents: Tensor) -> dict[str, Tensor]:
    noise = torch.randn_like(latents)
    total = model.noise_scheduler.config.num_train_timesteps
    timesteps = torch.randint(0, total, (len(latents),))
    schedule = model.alphas_cumprod
    return {
        "noisy_latents": add_noise(latents, noise, timesteps, schedule),
        "timesteps": timesteps,
        "target": training_target(latents, noise, timesteps, schedule, model.prediction_type),
    }


def _loss(model: Any, inputs: dict[str, Tensor], hidden_states: Tensor) -> Tensor:
    prediction = model.unet(
        inputs["noisy_latents"], inputs["timesteps"], hidden_states, return_dict=False
    )[0]
    return F.mse_loss(prediction, inputs["target"])
