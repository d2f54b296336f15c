"""What all formats need to prove that a file does what the model does."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from sdtune.functional.randomness import counter_generator
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = [
    "AdapterVerificationError",
    "SharedCopy",
    "check_same_output",
    "evaluating",
    "frozen_copy",
    "prediction",
]


class AdapterVerificationError(RuntimeError):
    """A saved adapter does not do what the model it was saved from does."""


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and each of its modules back into its own afterwards.

    Args:
        model: Any module.

    Yields:
        Nothing.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def frozen_copy(model: StableDiffusion) -> StableDiffusion:
    """Copy a model whose weights are shared and whose parameters are not.

    The memory is the same, so a copy costs little. What a reader does to the copy's parameters,
    such as casting them or giving them other data, does not reach the model.

    Args:
        model: A bundle, with whatever adapters.

    Returns:
        Another one, frozen, its tokenizers its own.
    """
    memo: dict[int, object] = {
        id(each): nn.Parameter(each.detach(), requires_grad=False) for each in model.parameters()
    }
    memo |= {id(each): each.detach() for each in model.buffers()}
    return copy.deepcopy(model, memo=memo)


class SharedCopy:
    """A frozen copy of a model without adapters, for one file after the other.

    A file is given the copy of the one before only if nothing of that is left in it: all modules,
    parameters, buffers, hooks, attributes and words are the same objects as before, and no tensor
    has been written into. Otherwise it is given a new one.

    Args:
        model: A bundle; it is left as it was.
    """

    def __init__(self, model: StableDiffusion) -> None:
        self.model = model
        self._copy: StableDiffusion | None = None
        self._remove: object = None
        self._parts: list[object] = []

    def without(self, remove: Callable[[StableDiffusion], None]) -> StableDiffusion:
        """Give a copy to read the next file into.

        Args:
            remove: Takes adapters out of a model, both the model's own and what was read last.

        Returns:
            The copy, frozen.
        """
        if self._copy is not None and remove == self._remove:
            remove(self._copy)
            if _are_same(self._parts, _parts_of(self._copy)):
                return self._copy
        self._copy, self._remove = frozen_copy(self.model), remove
        remove(self._copy)
        self._parts = _parts_of(self._copy)
        return self._copy


def _parts_of(model: StableDiffusion) -> list[object]:
    """List all that a reader may exchange, and how often tensors were written into.

    The objects are held, so that no other one comes to have the place of one that is gone.
    """
    parts: list[object] = []
    for tokenizer in model.tokenizers:
        parts += [tokenizer, len(tokenizer), tokenizer.get_added_vocab()]
    for name, module in model.named_modules():
        parts += [name, module]
        for key, value in sorted(vars(module).items()):
            parts.append(key)
            # of parameters, buffers, modules and hooks the entries, for a dictionary may stay
            parts += [*value, *value.values()] if isinstance(value, dict) else [value]
    for tensor in (*model.parameters(), *model.buffers()):
        parts += [tensor.data_ptr(), tensor.dtype, tensor.requires_grad, tensor._version]
    return parts


def _are_same(parts: list[object], others: list[object]) -> bool:
    plain = (bool, dict, int, str)
    return len(parts) == len(others) and all(
        one is other or (type(one) is type(other) and isinstance(one, plain) and one == other)
        for one, other in zip(parts, others, strict=True)
    )


@torch.no_grad()
def prediction(model: StableDiffusion) -> Tensor:
    """Predict from noise and for a prompt that never change, so that two models can be compared.

    Args:
        model: A bundle, in evaluation mode.

    Returns:
        (1, C, h, w) float32, of order 1. The prompt goes through the text encoder.
    """
    unet = model.unet
    # a network works at any size, and a small picture tells two of them apart as well
    side = min(model.resolution // model.vae_scale_factor, 16)
    shape = (1, unet.config["in_channels"], side, side)
    noise = torch.randn(shape, generator=counter_generator(0))
    conditioning = model.encode_prompts(["a turtle"])
    conditioning = conditioning.with_inputs(model.picture_inputs({}, noise))
    conditioning = conditioning.to(unet.device, unet.dtype)
    timesteps = torch.tensor([model.num_train_timesteps // 2])
    noise = noise.to(unet.device, unet.dtype)
    predicted: Tensor = model(noise, timesteps.to(unet.device), conditioning)
    return predicted.float()


def check_same_output(
    path: str | Path, part: str, expected: Tensor, found: Tensor, *dtypes: torch.dtype
) -> float:
    """Compare what a model gives with what it gives when an adapter was read from a file.

    Compared are norms over all elements: in half precision rounding makes single ones differ by
    much more than the whole, and by more the larger the model is.

    Args:
        path: The file, for the message.
        part: What gave the outputs, for the message.
        expected: The trained model's output.
        found: The other's, of the same shape.
        *dtypes: What both were computed in, and what the file holds. The norm of the difference
            may be four steps of the coarsest, relative to the output's, and 0.001 in float32.
            Rounding in bfloat16 makes 0.010 at the size of Stable Diffusion 1, where four steps
            are 0.031.

    Returns:
        That relative difference.

    Raises:
        AdapterVerificationError: If they differ by more, or are not finite.
    """
    limit = max(1e-3, *(4 * torch.finfo(dtype).eps for dtype in dtypes))
    error: float = ((found.float() - expected.float()).norm() / expected.float().norm()).item()
    if not error <= limit:  # also catches nan
        raise AdapterVerificationError(
            f"Expected {path} to do what the trained model does, but the {part}'s output differs "
            f"by {error:.2%}, more than {limit:.2%}."
        )
    return error
