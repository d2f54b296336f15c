"""What evaluation and callbacks know of a technique, so that they need to import none."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, cast, runtime_checkable

from torch import Tensor

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["Technique", "WatchesNumbers", "as_technique", "is_technique"]

_WANTED = ("generate", "adapter", "adapter_metadata", "averaged_weights")


class Technique(Protocol):
    """A LightningModule around a frozen Stable Diffusion."""

    model: StableDiffusion

    @property
    def global_step(self) -> int:
        """Optimizer steps taken so far."""
        ...

    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        num_inference_steps: int,
        guidance_scale: float,
        negative_prompt: str = "",
        use_adapter: bool = True,
        **size: int,
    ) -> Tensor:
        """Draw one picture per prompt and seed: (B, 3, H, W) in [0, 1].

        `size` is `width` and `height` in pixels, which a technique has to take only where they are
        asked for; without them a picture has the model's own size.
        """
        ...

    def averaged_weights(self) -> AbstractContextManager[None]:
        """Show, for a while, the average of the weights in training, if there is one."""
        ...

    def adapter(self) -> AdapterSet:
        """Copy the adapter as it is now."""
        ...

    def adapter_metadata(self) -> dict[str, str]:
        """Tell what an adapter's header should say of this run."""
        ...


@runtime_checkable
class WatchesNumbers(Protocol):
    """A technique that knows whether training has come to what is not a finite number."""

    def check_numbers(self) -> None:
        """Raise if it has, or go back to where it had not. Called on every rank."""
        ...


def is_technique(module: Any) -> bool:
    """Tell whether a LightningModule offers what the callbacks use.

    Args:
        module: The LightningModule.

    Returns:
        Whether `as_technique` would take it.
    """
    return all(callable(getattr(module, name, None)) for name in _WANTED)


def as_technique(module: Any) -> Technique:
    """Check that a LightningModule offers what the callbacks use.

    `model` is not looked for: it may be loaded only after the callbacks are set up.

    Args:
        module: The LightningModule that is being trained.

    Returns:
        The same object.

    Raises:
        TypeError: If a method is missing; the message names it.
    """
    missing = [name for name in _WANTED if not callable(getattr(module, name, None))]
    if missing:
        raise TypeError(
            f"Expected the LightningModule to be a technique, but {type(module).__name__} has no "
            f"{', '.join(f'`{name}`' for name in missing)}."
        )
    return cast(Technique, module)
