"""A small run with samples and an adapter of each step, and a learned word, for the tests."""

from __future__ import annotations

from pathlib import Path

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from sdtune import AdapterCheckpoint, LoRAStyleModule, SampleGrid, StyleDataModule
from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.words.adapter import TokenEmbeddingAdapter
from sdtune.adapters.words.layers import add_token_embedding
from sdtune.models import load
from tests.picture_folders import make_picture_folder

__all__ = ["PROMPTS", "SEEDS", "make_run", "make_word"]

PROMPTS = ["a cat", "a turtle, a dotted background"]
SEEDS = [3, 0]


def make_run(base: Path, folder: Path) -> Path:
    """Train two steps of a LoRA whose alpha / rank is no power of two.

    Args:
        base: A folder of a tiny model.
        folder: Where runs are.

    Returns:
        The run's folder.
    """
    pictures = make_picture_folder(folder / "pictures")
    logger = TensorBoardLogger(folder, "style_lora", "version_0")
    grid = SampleGrid(PROMPTS, SEEDS, 1, num_inference_steps=3, guidance_scale=3.0, width=32)
    trainer = Trainer(
        accelerator="cpu",
        max_steps=2,
        logger=logger,
        callbacks=[grid, AdapterCheckpoint(every_n_steps=1)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    module = LoRAStyleModule(str(base), rank=3, alpha=4, learning_rate=0.1)
    trainer.fit(module, StyleDataModule(pictures, resolution=16, batch_size=2, validation_count=0))
    text = f"model:\n  init_args:\n    base: {base}\n"
    (folder / "style_lora" / "version_0" / "config.yaml").write_text(text)
    return folder / "style_lora" / "version_0"


def make_word(base: Path, folder: Path) -> Path:
    """Make a learned word, whose file records what stands for a field.

    Args:
        base: A folder of a tiny model.
        folder: Where its file goes.

    Returns:
        The file.
    """
    model = load(base)
    [rows] = add_token_embedding(model, "<erica>", "a")
    with torch.no_grad():
        rows += torch.randn(rows.shape, generator=torch.Generator().manual_seed(0))
    fields = {"sdtune.prompt_fields": '{"subject": ["<erica>", "cat"]}'}
    return AdapterSet(TokenEmbeddingAdapter.from_model(model)).save(folder, fields)
