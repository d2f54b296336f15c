"""What nano's recipes make, as digests: whether a change of the code changed a bit of it.

    python -m tests.recipe_digests > before.txt     # on one commit
    python -m tests.recipe_digests > after.txt      # on another, on the same machine and packages

Each recipe, and variants that no recipe shows, trains a few steps on one thread. A line holds a
digest of the adapter's tensors, one of the pictures that were sampled, and one of those that were
scored. Headers, names of files and figures are left out, so that they may change.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from sdtune.cli import main

VARIANTS: dict[str, tuple[str, ...]] = {
    "style_lora": (),
    "style_lora, DoRA, dropout, text encoder": (
        "--model.use_dora=true",
        "--model.dropout=0.1",
        "--model.text_encoder_learning_rate=1e-3",
        "--model.gradient_checkpointing=true",
    ),
    "style_lora, Adafactor, cosine, Min-SNR, noise offset": (
        "--model.optimizer=adafactor",
        "--model.lr_schedule=cosine",
        "--model.min_snr_gamma=5",
        "--model.noise_offset=0.1",
        "--trainer.accumulate_grad_batches=2",
    ),
    "textual_inversion": (),
    "textual_inversion, norm of the table": ("--model.embedding_norm=table",),
    "dreambooth": (),
    "dreambooth, no class pictures": ("--model.prior_loss_weight=0",),
    "dreambooth, whole UNet": (
        "--model.full_finetune=true",
        "--model.learning_rate=1e-4",
        "--model.text_encoder_learning_rate=null",
    ),
    "pivotal_tuning": ("--model.embedding_stop_fraction=0.5",),
    "multi_concept": (),
    "multi_concept, LoRA": ("--model.rank=4",),
}
"""Name, which begins with the recipe's -> overrides."""

_CHEAP = {"num_inference_steps": 3, "style_pictures": 2, "class_count": 4, "every_n_steps": 3}


def digests(name: str, steps: int) -> tuple[str, str, str]:
    """Train, and digest the adapter, the samples and the scored pictures.

    Args:
        name: One of `VARIANTS`.
        steps: Optimizer steps.

    Returns:
        Three digests of 16 hexadecimal digits.
    """
    torch.set_num_threads(1)
    recipe = Path("recipes", name.split(",")[0] + ".yaml")
    text = recipe.read_text(encoding="utf-8")
    for key, value in _CHEAP.items():
        text = re.sub(rf"\b{key}: \S+", f"{key}: {value}", text)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SDTUNE_CACHE"] = f"{folder}/cache"
        copy = Path(folder, recipe.name)
        copy.write_text(text, encoding="utf-8")
        options = [f"--trainer.max_steps={steps}", f"--trainer.default_root_dir={folder}"]
        options += ["--trainer.accelerator=cpu", "--run=it", *VARIANTS[name]]
        if "class_inference_steps" in text:
            options.append("--model.class_inference_steps=3")
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            code = main(["fit", "--config", str(copy), *options])
        if code:
            raise SystemExit(output.getvalue())
        run = Path(folder, recipe.stem, "it")
        return (
            _digest(_tensors(_files(run / "adapter", "safetensors"))),
            _digest(_pixels(file) for file in _files(run / "samples" / "rows", "png")),
            _digest(_pixels(file) for file in _files(run / "evaluation", "png")),
        )


def _files(folder: Path, suffix: str) -> list[Path]:
    # the last adapter in diffusers' files: copies in other layouts have other names
    files = folder.glob(f"*.{suffix}") if folder.name == "adapter" else folder.rglob(f"*.{suffix}")
    return sorted(file for file in files if "kohya" not in file.name)


def _tensors(files: Iterable[Path]) -> Iterator[bytes]:
    for file in files:
        for name, tensor in sorted(load_file(file).items()):
            yield name.encode()
            yield tensor.numpy().tobytes()


def _pixels(file: Path) -> bytes:
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB")).tobytes()


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    count = 0
    for count, part in enumerate(parts, start=1):  # noqa: B007
        digest.update(part)
    return f"{digest.hexdigest()[:16]} of {count}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("names", nargs="*", help=f"of: {'; '.join(VARIANTS)}")
    call = parser.parse_args()
    for each in call.names or VARIANTS:
        print(each, *digests(each, call.steps), sep=" | ", flush=True)  # noqa: T201
