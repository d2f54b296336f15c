"""A loop that is nothing but the networks: what a technique's own step is held against."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sdtune.functional import add_noise, training_target
from sdtune.models import Conditioning
from sdtune.techniques.base import DiffusionFineTuningModule
from sdtune.techniques.optimization import build_optimizer
from sdtune.techniques.trainer_problems import BASE_DTYPES

__all__ = ["BareLoop"]


class BareLoop:
    """Steps of what the UNet, a text encoder that learns and the optimizer do, and no more.

    Inputs are made by `prepare`: noisy latents, timesteps and targets; prompts as token ids where
    they have to be encoded anew, as hidden states elsewhere.

    Args:
        module: A fresh technique, of which parameters and optimizer are taken.
        precision: The Trainer's.
        device: Where it trains.
    """

    def __init__(
        self,
        module: DiffusionFineTuningModule,
        precision: str = "32-true",
        device: torch.device | str = "cpu",
    ) -> None:
        module.load_base(BASE_DTYPES[precision])
        self.module = module.to(device)
        self.model = module.model
        self.device = torch.device(device)
        self.dtype = BASE_DTYPES[precision]
        self.optimizer = build_optimizer(
            module.optimizer, module.parameter_groups(), module.weight_decay
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)

    def prepare(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Make the inputs of a step from a batch of the technique's own, class samples included.

        Args:
            batch: With `moments` and `caption`.
        """
        if "class_moments" in batch:
            moments = torch.cat([batch["moments"], batch["class_moments"]])
            captions = [*batch["caption"], *batch["class_caption"]]
        else:
            moments, captions = batch["moments"], list(batch["caption"])
        latents = self.model.latents_from_moments(moments.to(self.device))
        inputs: dict[str, Any] = self._noisy(latents)
        # a technique encodes a caption once, if at all
        distinct = list(dict.fromkeys(captions))
        anew = [each for each in distinct if self.module.encodes_anew(each)]
        known = [each for each in distinct if not self.module.encodes_anew(each)]
        inputs["rows"] = [(anew + known).index(each) for each in captions]
        inputs["of_pictures"] = self.model.picture_inputs({}, latents)
        if anew:
            encoders = range(len(self.model.tokenizers))
            inputs["token_ids"] = [self.model.tokenize(anew, each) for each in encoders]
        if known:
            with torch.no_grad(), self._autocast():
                inputs["known"] = self.module.encode(known)
        return inputs

    def step(self, inputs: dict[str, Any]) -> None:
        """Train on prepared inputs.

        Args:
            inputs: As `prepare` makes them.
        """
        with self._autocast():
            parts = [inputs["known"]] if "known" in inputs else []
            if "token_ids" in inputs:
                encoders: Any = list(self.model.text_encoders)
                encoded = self.model.family.encode(
                    encoders, inputs["token_ids"], self.module.clip_skip
                )
                parts.insert(0, encoded)
            joined = Conditioning.cat(parts) if len(parts) > 1 else parts[0]
            conditioning = joined[inputs["rows"]].with_inputs(inputs["of_pictures"])
            prediction = self.model(inputs["noisy_latents"], inputs["timesteps"], conditioning)
            loss = F.mse_loss(prediction.float(), inputs["target"])
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()

    def _noisy(self, latents: Tensor) -> dict[str, Tensor]:
        noise = torch.randn_like(latents)
        total = self.model.num_train_timesteps
        timesteps = torch.randint(0, total, (len(latents),), device=latents.device)
        schedule = self.model.alphas_cumprod.to(latents.device)
        kind = self.model.prediction_type
        return {
            "noisy_latents": add_noise(latents, noise, timesteps, schedule),
            "timesteps": timesteps,
            "target": training_target(latents, noise, timesteps, schedule, kind),
        }

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32
        )
