"""A LightningModule around a frozen base model: loading, sampling, checkpoints of what learns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.lora import without_adapter
from sdtune.models import load, sample
from sdtune.techniques.optimization.averaged_weights import AveragedWeightsModule

if TYPE_CHECKING:
    from lightning.pytorch import Trainer
    from transformers import CLIPTextModel

    from sdtune.models import StableDiffusion

__all__ = ["TunedModelModule"]

_BASE_DTYPES = {
    "32-true": torch.float32,
    "32": torch.float32,
    "16-mixed": torch.float16,
    "bf16-mixed": torch.bfloat16,
}


class TunedModelModule(AveragedWeightsModule):
    """A frozen base model and what is added to it to learn.

    The base is loaded by `setup`, frozen, in the Trainer's precision; what learns is float32. A
    checkpoint holds what learns and names the base by its hash.

    Args:
        base: `nano`, a folder in diffusers' layout, a Hugging Face id or a single file.
        clip_skip: Text encoder layer, counted from the end.
        gradient_checkpointing: Recompute activations in the backward pass: less memory, slower.
    """

    model: StableDiffusion

    def __init__(self, *, base: str, clip_skip: int, gradient_checkpointing: bool) -> None:
        super().__init__()
        self.base = base
        self.clip_skip = clip_skip
        self.gradient_checkpointing = gradient_checkpointing

    @abstractmethod
    def add_adapter(self) -> None:
        """Add what learns to `self.model`, changing nothing of its output."""

    @abstractmethod
    def adapter(self) -> AdapterSet:
        """Return a copy of what has been learned, on the CPU."""

    @property
    @abstractmethod
    def trains_text_encoder(self) -> bool:
        """Whether prompts have to be encoded anew at every step."""

    def problems_with_trainer(self, trainer: Trainer) -> list[str]:
        """List what keeps this technique from being trained by a Trainer; loads no weights.

        Args:
            trainer: The Trainer.

        Returns:
            One sentence each.
        """
        if str(trainer.precision) in _BASE_DTYPES:
            return []
        allowed = ", ".join(f"`{name}`" for name in _BASE_DTYPES if name != "32")
        return [
            f"Expected `trainer.precision` to be one of {allowed}, which keep the adapter in "
            f"float32, but got `{trainer.precision}`."
        ]

    def setup(self, stage: str) -> None:
        """Load the base in the Trainer's precision and add what learns.

        Args:
            stage: What the Trainer is about to do.

        Raises:
            ValueError: If the Trainer's precision would train the adapter in half precision.
        """
        for problem in self.problems_with_trainer(self.trainer):
            raise ValueError(problem)
        self.load_base(_BASE_DTYPES[str(self.trainer.precision)])

    def load_base(self, dtype: torch.dtype = torch.float32) -> None:
        """Load the base and add what learns; does nothing the second time.

        Args:
            dtype: Floating type of the frozen UNet and text encoders. The VAE stays float32: in
                half precision some pictures overflow it, and it is out of the training loop.
        """
        if "model" in self._modules:
            return
        self.model = load(self.base)
        self.model.unet.to(dtype)
        self.model.text_encoders.to(dtype)
        self.add_adapter()
        if self.gradient_checkpointing:
            self.model.unet.enable_gradient_checkpointing()
            if self.trains_text_encoder:
                for text_encoder in self.model.text_encoders:
                    cast("CLIPTextModel", text_encoder).gradient_checkpointing_enable()
        # Lightning keeps the modes it finds; dropout and checkpointing need the training one
        self.model.train()
        self.model.text_encoders.train(self.trains_text_encoder)

    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        num_inference_steps: int = 25,
        guidance_scale: float = 7.5,
        negative_prompt: str = "",
        use_adapter: bool = True,
    ) -> Tensor:
        """Draw one picture per prompt with what has been learned so far.

        Args:
            prompts: B texts.
            seeds: One seed per prompt; a picture depends on its own prompt and seed alone.
            num_inference_steps: Steps of the noise scheduler (DPM-Solver++).
            guidance_scale: Strength of classifier-free guidance; 1 is off.
            negative_prompt: What to go away from.
            use_adapter: False draws with the untuned base.

        Returns:
            (B, 3, H, W) float32 in [0, 1].
        """
        self.load_base()
        with nullcontext() if use_adapter else self.untuned(), self._at_hand():
            return sample(
                self.model,
                prompts,
                seeds=seeds,
                num_inference_steps=num_inference_steps,
                guidance_scale=guidance_scale,
                negative_prompt=negative_prompt,
                clip_skip=self.clip_skip,
            )

    def untuned(self) -> AbstractContextManager[None]:
        """Switch off what has been learned, for a while: inside, the model is its own base."""
        return without_adapter(self.model)

    def adapter_metadata(self) -> dict[str, str]:
        """Describe the run for the adapter's header, without any folder's name."""
        hparams = {key: value for key, value in self.hparams.items() if key != "base"}
        metadata = {f"sdtune.{key}": str(value) for key, value in hparams.items()}
        metadata["sdtune.technique"] = type(self).__name__
        metadata["sdtune.base_unet_sha256"] = self.model.fingerprint("unet")
        metadata["sdtune.steps"] = str(self.global_step)
        return metadata

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return what learns, and nothing of the frozen base."""
        state = super().state_dict(*args, **kwargs)
        learned = self._learned_names()
        return {name: value for name, value in state.items() if name in learned}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load what learns, and refuse a state that is not exactly that.

        Raises:
            RuntimeError: If the names differ from those of what learns here.
        """
        self.load_base()
        different = self._learned_names() ^ set(state_dict)
        if different:
            raise RuntimeError(
                f"The checkpoint and the recipe do not train the same weights: {len(different)} "
                f"differ, such as {min(different)}. Resume with the recipe that wrote it."
            )
        return super().load_state_dict(state_dict, strict=False, assign=assign)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Name the base by its hash, and keep the average of what learns if there is one."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["base_sha256"] = self._base_hashes()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that was trained on another base.

        Raises:
            ValueError: If the hashes differ.
        """
        self.load_base()
        super().on_load_checkpoint(checkpoint)
        if checkpoint.get("base_sha256") != self._base_hashes():
            raise ValueError(
                f"The checkpoint was trained on another base than `{self.base}`: give `model.base` "
                "the one that its run folder's config.yaml names."
            )

    def _learned_names(self) -> set[str]:
        return {name for name, parameter in self.named_parameters() if parameter.requires_grad}

    def _base_hashes(self) -> dict[str, str]:
        return {part: self.model.fingerprint(part) for part in ("unet", "text_encoders")}

    @contextmanager
    def _at_hand(self) -> Iterator[None]:
        """Bring the encoders to the UNet's device, and back to where they were."""
        parts: list[nn.Module] = [self.model.vae, self.model.text_encoders]
        homes = [next(part.parameters()).device for part in parts]
        for part in parts:
            part.to(self.model.device)
        try:
            yield
        finally:
            for part, home in zip(parts, homes, strict=True):
                part.to(home)
