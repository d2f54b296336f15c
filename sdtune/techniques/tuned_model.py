"""A LightningModule around a frozen base model: loading, sampling, checkpoints of what learns."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from sdtune._checks import ArgumentsError
from sdtune._run_steps import accumulated_batches
from sdtune.adapters.adapter_set import AdapterSet
from sdtune.models import load, sample
from sdtune.models.devices import brought_to
from sdtune.models.quantization import Quantization, quantize_base
from sdtune.techniques.data_record import data_record
from sdtune.techniques.learned import Learned, LearnedGroup
from sdtune.techniques.optimization.averaged_weights import AveragedWeightsModule
from sdtune.techniques.recomputation import recompute_activations
from sdtune.techniques.resumed_base import check_base, note_base
from sdtune.techniques.starting_adapter import adapter_sha256, start_from, starting_problems
from sdtune.techniques.trainer_problems import BASE_DTYPES, trainer_problems

if TYPE_CHECKING:
    from sdtune.models import StableDiffusion

__all__ = ["TunedModelModule"]


class TunedModelModule(AveragedWeightsModule):
    """A frozen base model and what is added to it to learn.

    `parameters()`, `buffers()`, the state, a checkpoint and what a callback averages are what
    learns alone; the base is `model`, and copies of the module share its frozen weights. A
    checkpoint names the base by its hash.

    Args:
        learns: What learns, in the order of the optimizer's groups.
        base: `nano`, a folder in diffusers' layout, a Hugging Face id or a single file.
        clip_skip: Text encoder layer, counted from the end.
        max_prompt_chunks: How many times the text encoders' length a prompt may have.
        gradient_checkpointing: Recompute activations in the backward pass: less memory, slower.
        cuda_graphs: Let a GPU repeat the passes of a step by itself, see `StepGraphs`.
        quantization: How the frozen linear layers are kept, see `sdtune.models.quantization`.
        seed: Seed of the first values of what learns.
        adapter: A file or folder that they are taken from instead, to go on training.
    """

    model: StableDiffusion

    def __init__(
        self,
        *,
        learns: Sequence[Learned],
        base: str,
        clip_skip: int,
        max_prompt_chunks: int,
        gradient_checkpointing: bool,
        cuda_graphs: bool,
        quantization: Quantization | None,
        seed: int,
        adapter: str | None = None,
    ) -> None:
        super().__init__()
        self.learns = list(learns)
        self.base = base
        self.clip_skip = clip_skip
        self.max_prompt_chunks = max_prompt_chunks
        self.gradient_checkpointing = gradient_checkpointing
        self.cuda_graphs = cuda_graphs
        self.quantization: Quantization | None = quantization
        self.seed = seed
        self.starts_from = adapter
        self._learned_names: dict[str, None] = {}  # a set, in the order of the modules
        self._steps_trained = 0
        self._trained_on: dict[str, str] = {}
        self.register_load_state_dict_post_hook(_miss_nothing_frozen)  # type: ignore[no-untyped-call]

    @property
    def encodes_prompts_every_step(self) -> bool:
        """Whether prompts are encoded while training, and not all of them once before it."""
        return any(each.encodes_prompts_every_step for each in self.learns)

    def problems(self) -> list[str]:
        """List what of its arguments does not fit its base; loads no weights.

        Returns:
            One sentence each.
        """
        problems = [line for each in self.learns for line in each.problems(self.base)]
        if self.starts_from and not problems:
            problems += starting_problems(self.starts_from, self.base, self.learns, self._stated)
        return problems

    def problems_with(self, data: object) -> list[str]:
        """List what keeps it from learning from some data; loads no weights.

        Args:
            data: A data module, set up or not.

        Returns:
            One sentence each.
        """
        return [line for each in self.learns for line in each.problems_with(data)]

    @classmethod
    def any_problems_with_trainer(cls, trainer: pl.Trainer) -> list[str]:
        """List what keeps it from being trained by a Trainer, whatever its arguments are.

        Args:
            trainer: The Trainer.

        Returns:
            One sentence each.
        """
        return trainer_problems(trainer)

    def problems_with_trainer(self, trainer: pl.Trainer) -> list[str]:
        """List what keeps this technique from being trained by a Trainer; loads no weights."""
        return self.any_problems_with_trainer(trainer)

    def configure_callbacks(self) -> list[pl.Callback]:
        """Compare with the Trainer and the data, before any callback looks at the module.

        Returns:
            No callbacks.

        Raises:
            ValueError: If there are `problems_with` the data or the Trainer, with all of them.
        """
        problems = self.problems_with_trainer(self.trainer)
        if self.is_fitting:
            problems += self.problems_with(getattr(self.trainer, "datamodule", None))
        if problems:
            raise ArgumentsError(problems)
        return []

    def configure_model(self) -> None:
        """Load the base and add what learns; callbacks that copy the model call this first."""
        if self._trainer is None:  # `load_from_checkpoint`
            self.load_base()
        else:
            self.load_base(BASE_DTYPES[str(self.trainer.precision)])

    @property
    def _drops_inputs(self) -> bool:
        return any(each.drops_inputs for each in self.learns)

    def groups(self) -> list[LearnedGroup]:
        """List the parameters that learn, in groups of one learning rate."""
        return [group for each in self.learns for group in each.groups(self.model)]

    def adapter(self) -> AdapterSet:
        """Return a copy of what has been learned, on the CPU."""
        self.load_base()
        adapters = [one for each in self.learns for one in each.adapters(self.model)]
        return AdapterSet(*adapters, metadata=self.adapter_metadata())

    def load_base(self, dtype: torch.dtype | None = None) -> None:
        """Load the base and add what learns; nothing is done where that is so already.

        A base of another type is loaded anew, for what was rounded cannot be had back. What has
        been learned is kept.

        Args:
            dtype: Floating type of the frozen UNet and text encoders; None is that of a base which
                is loaded, and else float32. The VAE stays float32: in half precision some pictures
                overflow it, and it is out of the training loop.
        """
        if any(each.needs_float32 for each in self.learns):
            dtype = torch.float32
        is_loaded = "model" in self._modules
        if is_loaded and dtype in (None, self.model.dtype):
            return
        learned = self.state_dict() if is_loaded else None
        # the Trainer may have set another one; each one set costs at every call of torch
        on_cpu = torch.get_default_device() == torch.device("cpu")
        with nullcontext() if on_cpu else torch.device("cpu"):
            self.build_on(load(self.base, dtype or torch.float32, vae_dtype=torch.float32))
        if learned is not None:
            super().load_state_dict(learned)

    def build_on(self, model: StableDiffusion) -> None:
        """Quantise a model, which may be without values, add what learns, and freeze the rest."""
        model.max_prompt_chunks = self.max_prompt_chunks
        if self.quantization is not None:
            # text encoders that do not stay on the device need not be small
            quantize_base(
                model,
                self.quantization,
                text_encoders=self.encodes_prompts_every_step,
                whole=[name for each in self.learns for name in each.trains_whole],
                device=None if self._trainer is None else self.trainer.strategy.root_device,
            )
        for each in self.learns:
            each.add_to(model, seed=self.seed, clip_skip=self.clip_skip)
        if self.starts_from:
            start_from(self.starts_from, self.learns, model, self._stated)
        self.model = model
        learned = {id(parameter) for group in self.groups() for parameter in group.parameters}
        for parameter in model.parameters():
            parameter.requires_grad_(id(parameter) in learned)
        named = super().named_parameters()
        self._learned_names = dict.fromkeys(name for name, each in named if id(each) in learned)
        if self.gradient_checkpointing:
            recompute_activations(model, self.encodes_prompts_every_step, self._drops_inputs)
        # Lightning keeps the modes it finds; dropout and checkpointing need the training one
        model.train()
        model.text_encoders.train(self.encodes_prompts_every_step)

    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        num_inference_steps: int = 25,
        guidance_scale: float = 7.5,
        negative_prompt: str = "",
        width: int | None = None,
        height: int | None = None,
        use_adapter: bool = True,
    ) -> Tensor:
        """Draw one picture per prompt with what has been learned so far.

        Args:
            prompts: B texts.
            seeds: One seed per prompt; a picture depends on its own prompt and seed alone.
            num_inference_steps: Steps of the noise scheduler (DPM-Solver++).
            guidance_scale: Strength of classifier-free guidance; 1 is off.
            negative_prompt: What to go away from.
            width: Pixels, a multiple of 8; None for the model's own.
            height: Likewise.
            use_adapter: False draws with the untuned base.

        Returns:
            (B, 3, H, W) float32 in [0, 1].
        """
        self.load_base()
        encoders = brought_to(self.model.device, self.model.vae, self.model.text_encoders)
        with nullcontext() if use_adapter else self.untuned(), encoders:
            return sample(
                self.model,
                prompts,
                seeds=seeds,
                num_inference_steps=num_inference_steps,
                guidance_scale=guidance_scale,
                negative_prompt=negative_prompt,
                width=width,
                height=height,
                clip_skip=self.clip_skip,
            )

    @contextmanager
    def untuned(self) -> Iterator[None]:
        """Switch off what has been learned, for a while: inside, the model is its own base."""
        with ExitStack() as stack:
            stack.enter_context(self.model.passes.paused())
            for each in self.learns:
                stack.enter_context(each.switched_off(self.model))
            yield

    def adapter_metadata(self) -> dict[str, str]:
        """Describe the run for the adapter's header, without any folder's name."""
        private = ("base", "adapter")
        told = {k: v for k, v in self.hparams.items() if k not in private and k[:1] != "_"}
        metadata = {f"sdtune.{key}": str(value) for key, value in told.items()}
        metadata["sdtune.technique"] = type(self).__name__
        metadata["sdtune.base_unet_sha256"] = self.model.fingerprint("unet")
        if self.starts_from:
            metadata["sdtune.adapter_sha256"] = adapter_sha256(self.starts_from)
            for each in self.learns:
                metadata |= each.record(self.model)
        if self.is_fitting:
            self._note_training()
        return {**metadata, "sdtune.steps": str(self._steps_trained), **self._trained_on}

    def on_train_start(self) -> None:
        """Accumulate as the epoch began, and note what is trained on, for later Trainers."""
        trainer = self.trainer
        trainer.accumulate_grad_batches = accumulated_batches(trainer, trainer.current_epoch)
        super().on_train_start()
        self._note_training()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Note how far training is: a Trainer that comes later has taken no steps."""
        super().on_train_batch_end(outputs, batch, batch_idx)
        self._steps_trained = self.global_step

    def _note_training(self) -> None:
        self._steps_trained = self.global_step
        self._trained_on = data_record(getattr(self.trainer, "datamodule", None))

    @property
    def _stated(self) -> dict[str, object]:
        """Arguments that are not left at their defaults."""
        known = inspect.signature(type(self)).parameters
        given = {name: value for name, value in self.hparams.items() if name in known}
        return {name: value for name, value in given.items() if value != known[name].default}

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield what learns: Lightning averages, and several processes compare, what is here."""
        # by name: each step asks several times, and the base's modules are many
        for name in self._learned_names if recurse else ():
            yield f"{prefix}.{name}" if prefix else name, self.get_parameter(name)

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield nothing: all buffers are the base's, and the average of a position is none."""
        yield from ()

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return what learns, and nothing of the frozen base."""
        state: dict[str, Any] = super().state_dict(*args, **kwargs)
        prefix = kwargs.get("prefix", "")
        # in place: within another module, the state is that one's too
        for name in [each for each in state if each.startswith(f"{prefix}model.")]:
            if name[len(prefix) :] not in self._learned_names:
                del state[name]
        return state

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load what learns, and refuse a state that is not exactly that.

        Raises:
            RuntimeError: If the names or shapes differ from those of what learns here.
        """
        self.load_base()
        own, given = (
            {name: getattr(each, "shape", None) for name, each in state.items()}
            for state in (self.state_dict(), state_dict)
        )
        different = {name for name in {**own, **given} if own.get(name) != given.get(name)}
        if different:
            raise RuntimeError(
                f"The checkpoint and the recipe do not train the same weights: {len(different)} "
                f"differ, such as {min(different)}. Resume with the recipe that wrote it."
            )
        return super().load_state_dict(state_dict, strict=strict, assign=assign)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Name the base by its hash, and keep the average of what learns if there is one."""
        super().on_save_checkpoint(checkpoint)
        if self.is_fitting:
            self._note_training()
        self._note_base(checkpoint)
        checkpoint["steps_trained"] = self._steps_trained
        checkpoint["trained_on"] = self._trained_on

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another base; recall how long, and on what, it was trained.

        Raises:
            ValueError: If its weights or their configurations differ.
        """
        self.load_base()
        super().on_load_checkpoint(checkpoint)
        self._steps_trained = checkpoint.get("steps_trained", checkpoint.get("global_step", 0))
        self._trained_on = dict(checkpoint.get("trained_on", {}))  # older ones do not say it
        self._check_base(checkpoint)

    def _note_base(self, checkpoint: dict[str, Any]) -> None:
        note_base(self.model, checkpoint)

    def _check_base(self, checkpoint: Mapping[str, Any]) -> None:
        check_base(self.model, self.base, checkpoint)

    def __deepcopy__(self, memo: dict[int, Any]) -> TunedModelModule:
        """Copy what learns; the frozen weights are shared, and so are tokenizers and schedule."""
        shared: list[Any] = []
        if "model" in self._modules:
            shared += [*self.model.tokenizers, self.model.noise_scheduler, *self.model.buffers()]
            every = super().named_parameters()
            shared += [value for name, value in every if name not in self._learned_names]
        memo |= {id(each): each for each in shared}
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        state = copy.deepcopy(self.__getstate__(), memo)
        copied.__setstate__(state)  # type: ignore[no-untyped-call]
        return copied


def _miss_nothing_frozen(module: nn.Module, incompatible_keys: Any) -> None:
    """Let a state be whole without the base, also as a part of another module's."""
    learned = cast(TunedModelModule, module)._learned_names
    missing = incompatible_keys.missing_keys
    missing[:] = [
        each for each in missing if any(f".{each}".endswith(f".{name}") for name in learned)
    ]
