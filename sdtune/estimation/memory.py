"""How much memory a step takes, counted on tensors without values."""

from __future__ import annotations

import gc
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from sdtune.estimation.hollow_model import hollow_model
from sdtune.estimation.live_memory import LiveMemory
from sdtune.functional.flop_counter import flop_counter
from sdtune.functional.tensor_bytes import bytes_of
from sdtune.techniques.base import DiffusionFineTuningModule
from sdtune.techniques.content_preservation import ContentPreservation
from sdtune.techniques.learned_words import LearnedWords
from sdtune.techniques.optimization.optimizers import build_optimizer
from sdtune.techniques.trainer_problems import BASE_DTYPES

__all__ = ["MemoryCount", "count_memory", "dtype_of"]

_HALF_STATES = ("adamw8bit", "lion8bit")
_IN_ANY = "a"  # one token of any vocabulary of bytes


@dataclass(frozen=True)
class _AllRows(ContentPreservation):
    """Has the base predict every sample, which is the most that a step has of it.

    Attributes:
        flops: What the base's predictions computed.
    """

    flops: list[int] = field(default_factory=list)

    @property
    def spared(self) -> float:
        """FLOP that a step does not compute of it in the mean: timesteps are drawn evenly."""
        return sum(self.flops) * self.above

    def rows(self, timesteps: Tensor, num_train_timesteps: int) -> list[int]:
        """List all rows: timesteps have no values here."""
        return list(range(len(timesteps)))

    def _base(self, *args: Any) -> Tensor:
        with flop_counter() as counter:
            predicted = super()._base(*args)
        self.flops.append(int(counter.get_total_flops()))
        return predicted


@dataclass(frozen=True)
class MemoryCount:
    """Bytes on the device that trains, by part, and what a batch computes.

    Attributes:
        weights: Of the frozen base, as far as it stays there.
        adapter: What learns.
        optimizer: The optimizer's state.
        step: The most that a step holds beside these at once: activations, gradients and what
            operations need in between.
        flops: Floating-point operations of a batch, forwards and backwards, in the mean over steps.
    """

    weights: int
    adapter: int
    optimizer: int
    step: int
    flops: int

    @property
    def total(self) -> int:
        """All together; the driver and the libraries take some 0.6 GB beside it."""
        return self.weights + self.adapter + self.optimizer + self.step


def count_memory(
    module: DiffusionFineTuningModule,
    base: str,
    *,
    resolution: int | None,
    batch_size: int,
    accumulated: int = 1,
    dtype: torch.dtype = torch.float32,
) -> MemoryCount:
    """Take a step of training without values, at its true shapes.

    Latents are taken to be kept, so that the VAE is not there; text encoders are, where prompts
    are encoded at every step. Attention is counted as the fused kernels hold it.

    Args:
        module: A technique, without a base.
        base: What it is trained on, at hand or not, see `hollow_model`.
        resolution: Side of the pictures, in pixels; None for the base's own.
        batch_size: Pictures in a batch, class pictures apart.
        accumulated: Batches of which a step adds up the gradients: from the second one on they are
            there while it is computed.
        dtype: Floating type of the base: half precision computes by autocast.

    Returns:
        The count.
    """
    base_dtype = torch.float32 if any(each.needs_float32 for each in module.learns) else dtype
    for part in module.learns:
        if isinstance(part, LearnedWords):  # what they start from is of their own base's vocabulary
            part.words = [replace(word, initializer_token=_IN_ANY) for word in part.words]
    module.build_on(hollow_model(base, base_dtype))
    content = None if module.method.content is None else _AllRows(module.method.content.above)
    module.method = replace(module.method, content=content)
    model = module.model
    held: list[nn.Module] = [model.unet]
    if module.encodes_prompts_every_step:
        held.append(model.text_encoders)
    with FakeTensorMode(allow_non_fake_inputs=True):
        for each in (model.unet, model.text_encoders):
            cast(nn.Module, each).to_empty(device="cpu")  # a CPU without values
        every = [tensor for each in held for tensor in (*each.parameters(), *each.buffers())]
        learned = list(module.parameters())
        batch = _batch(module, resolution or model.resolution, batch_size)
        if not module.encodes_prompts_every_step:
            module._prompts.remember(batch["caption"], module.encode)
        if module.prior:
            batch = module.prior.joined(batch)
        live = LiveMemory([*every, *_tensors(batch)])
        autocast = nullcontext() if dtype == torch.float32 else torch.autocast("cpu", dtype)
        with live:
            flops = _take_batch(module, batch, live, autocast)
            spared = content.spared if content else 0.0
            if accumulated > 1:  # a third one holds what the second one did
                gc.collect()  # what recomputing left in circles is not of the second one
                _take_batch(module, batch, live, autocast)
        optimizer = _state_bytes(module)
    adapter = bytes_of(learned)
    return MemoryCount(
        weights=bytes_of(every) - adapter,
        adapter=adapter,
        optimizer=optimizer,
        step=live.peak,
        flops=int(flops - spared),
    )


def _take_batch(
    module: DiffusionFineTuningModule,
    batch: dict[str, Any],
    live: LiveMemory,
    autocast: AbstractContextManager[Any],
) -> int:
    """Add the gradients of a batch, and return the FLOP that it took."""
    live.is_backward = False
    with flop_counter() as counter:
        with autocast:
            loss = module.training_losses(batch)[0].mean()
        live.is_backward = True
        loss.backward()
    return int(counter.get_total_flops())


def dtype_of(precision: str) -> torch.dtype:
    """Give the floating type of what does not learn.

    Args:
        precision: As `trainer.precision`; `None` is the Trainer's own.

    Raises:
        ValueError: If techniques are not trained with it.
    """
    if precision == "None":
        return torch.float32
    if precision not in BASE_DTYPES:
        allowed = ", ".join(f"`{each}`" for each in BASE_DTYPES)
        raise ValueError(
            f"Expected `trainer.precision` to be one of {allowed}, but got `{precision}`."
        )
    return BASE_DTYPES[precision]


def _batch(module: DiffusionFineTuningModule, resolution: int, batch_size: int) -> dict[str, Any]:
    model = module.model
    side = resolution // model.vae_scale_factor
    channels = 2 * model.latent_channels
    batch: dict[str, Any] = {
        "moments": torch.zeros(batch_size, channels, side, side),
        "caption": [f"a picture {number}" for number in range(batch_size)],
        "index": list(range(batch_size)),
    }
    if module.prior:
        batch |= {f"class_{name}": value for name, value in batch.items()}
    return batch


def _state_bytes(module: DiffusionFineTuningModule) -> int:
    """Count the state that an optimizer keeps after its first step."""
    learned = [each for each in module.parameters() if each.grad is not None]
    count = sum(each.numel() for each in learned)
    if module.optimizer in _HALF_STATES:
        # small tensors keep float32 states; the rest a byte for each number, and scales of blocks
        states = 2 if module.optimizer == "adamw8bit" else 1
        return sum(states * each.numel() * (4 if each.numel() < 4096 else 1) for each in learned)
    if module.optimizer == "lion":
        return 4 * count
    if module.optimizer == "adamw":
        return 8 * count  # fused kernels do not run without values
    optimizer = build_optimizer(module.optimizer, module.parameter_groups(), module.weight_decay)
    optimizer.step()
    kept = [value for state in optimizer.state.values() for value in state.values()]
    return bytes_of(each for each in kept if isinstance(each, Tensor))


def _tensors(batch: dict[str, Any]) -> list[Tensor]:
    return [each for each in batch.values() if isinstance(each, Tensor)]
