"""A technique in miniature, whose training draws from every global random state."""

from __future__ import annotations

import random
from contextlib import nullcontext
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from sdtune.files import tensor_file

__all__ = ["FakeData", "FakeTechnique", "make_trainer"]


class FakeModel(nn.Module):
    num_train_timesteps = 20

    def __init__(self):
        super().__init__()
        self.unet = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 4))
        self.vae = nn.Linear(4, 4).requires_grad_(False).eval()
        self.text_encoders = nn.ModuleList([nn.Linear(4, 4).requires_grad_(False).eval()])


class FakeAdapter:
    def __init__(self, weight):
        self.weight = weight.detach().clone()

    def save(self, folder, metadata=None):
        path = Path(folder) / "adapter.safetensors"
        tensor_file.write(path, {"weight": self.weight}, metadata or {})
        return path

    def verify(self, path, model):
        if not torch.equal(model.unet[0].weight, self.weight):
            raise AssertionError
        return 0.0

    def to(self, dtype):
        return self

    def left_out(self):
        return []


class FakeTechnique(pl.LightningModule):
    def __init__(self, learning_rate: float = 0.1, seed: int = 0):
        super().__init__()
        self.save_hyperparameters()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model = FakeModel()
        self.batches = []
        self.calls = []

    def training_step(self, batch, batch_idx):
        self.batches.append(batch["index"].tolist())
        noise = torch.randn(4) + random.random() + np.random.rand()
        loss = (self.model.unet(batch["pixel_values"] + noise)).square().mean()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", self.model.unet(batch["pixel_values"]).square().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.model.unet.parameters(), lr=self.hparams.learning_rate)

    def generate(
        self,
        prompts,
        seeds,
        *,
        num_inference_steps,
        guidance_scale,
        negative_prompt="",
        use_adapter=True,
        width=16,
        height=16,
    ):
        modes = {module.training for module in self.modules()}
        self.calls.append((self.global_step, list(prompts), list(seeds), use_adapter, modes))
        torch.rand(3), random.random(), np.random.rand()
        shade = 0.2 if not use_adapter else min(1.0, 0.5 + self.global_step / 100)
        images = torch.zeros(len(prompts), 3, height, width)
        images[:, 0] = shade
        images[:, 1] = torch.tensor(seeds).view(-1, 1, 1) / 10
        return images

    def averaged_weights(self):
        return nullcontext()

    def adapter(self):
        return FakeAdapter(self.model.unet[0].weight)

    def adapter_metadata(self):
        return {"sdtune.steps": str(self.global_step)}


class FakeData(pl.LightningDataModule):
    """Batches of two out of ten samples, in an order that is a function of the epoch."""

    def __init__(self, batch_size: int = 2, validate: bool = True):
        super().__init__()
        self.save_hyperparameters()
        self.validate = validate
        generator = torch.Generator().manual_seed(0)
        self.samples = [
            {"pixel_values": torch.randn(4, generator=generator), "caption": "a", "index": i}
            for i in range(10)
        ]

    def train_dataloader(self):
        return DataLoader(self.samples, batch_size=self.hparams.batch_size)

    def val_dataloader(self):
        return DataLoader(self.samples[:2], batch_size=2) if self.validate else []


def make_trainer(folder, *callbacks, logger=None, **arguments) -> pl.Trainer:
    """A quiet trainer on the CPU whose run folder is `folder`, unless a logger says otherwise."""
    defaults = {
        "max_steps": 6,
        "accelerator": "cpu",
        "devices": 1,
        "enable_checkpointing": any(isinstance(c, pl.callbacks.Checkpoint) for c in callbacks),
        "enable_progress_bar": any(isinstance(c, pl.callbacks.ProgressBar) for c in callbacks),
        "enable_model_summary": False,
        "default_root_dir": folder,
        "logger": logger or False,
        "log_every_n_steps": 1,
        "num_sanity_val_steps": 0,
    }
    return pl.Trainer(callbacks=list(callbacks), **(defaults | arguments))
