"""A UNet's repeated blocks, compiled each by itself; what stands between them stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn

__all__ = ["compile_blocks", "compiled_blocks"]

_GRAPHS = 32
"""Of one kind of block: it has as many as there are ways in which it is called, some four."""


def compile_blocks(unet: nn.Module, kinds: Sequence[str] = (), backend: Any = "inductor") -> int:
    """Let blocks of a UNet be compiled when they are next called with gradients, in place.

    No name of a module or a weight changes. Blocks of one kind with weights of the same shapes
    share their code. A size that has been met is compiled as it is; where a second one follows, as
    with buckets, what differs is left open, and no further size is compiled again.

    Without gradients, as samples, scores and validation are computed, blocks are as they were:
    those come in other sizes, with adapters switched off, and too seldom to be worth it. Copies of
    a block are as they were, too.

    Args:
        unet: The UNet, with whatever adapters, on any device.
        kinds: Names of the blocks' classes; by default those that the UNet says it repeats.
        backend: As for `torch.compile`.

    Returns:
        How many blocks there are; 0 if they are compiled already.

    Raises:
        ValueError: If the UNet has no block of a kind.
    """
    kinds = tuple(kinds) or tuple(getattr(unet, "_repeated_blocks", None) or ())
    blocks = [each for each in unet.modules() if type(each).__name__ in kinds]
    missing = [kind for kind in kinds if all(type(each).__name__ != kind for each in blocks)]
    if missing or not blocks:
        raise ValueError(
            f"Expected the UNet to have blocks to compile, but it has no "
            f"{' and no '.join(missing) or 'repeated ones'}."
        )
    if compiled_blocks(unet):
        return 0
    dynamo: Any = torch._dynamo  # its configuration has no annotations
    dynamo.config.recompile_limit = max(dynamo.config.recompile_limit, _GRAPHS)
    shared: dict[Any, Callable[..., Any]] = {}
    for block in blocks:
        shapes = tuple(tuple(each.shape) for each in block.parameters())
        key = (type(block), shapes)
        if key not in shared:
            shared[key] = _compiled(backend)
        block._compiled_call_impl = _CompiledBlock(block, shared[key])
    return len(blocks)


def compiled_blocks(module: nn.Module) -> list[nn.Module]:
    """List the blocks of a module that `compile_blocks` has prepared."""
    return [
        each for each in module.modules() if isinstance(each._compiled_call_impl, _CompiledBlock)
    ]


class _CompiledBlock:
    """What a block does when it is called.

    `nn.Module.compile` puts the compiled code in the same place, from where no copy takes it.
    """

    def __init__(self, block: nn.Module, compiled: Callable[..., Any]) -> None:
        self._block = block
        self._compiled: Callable[..., Any] | None = compiled
        self._sizes: dict[int | str, torch.Size] = {}
        self._open: set[tuple[int | str, int]] = set()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._compiled is None or not torch.is_grad_enabled():
            return self._block._call_impl(*args, **kwargs)
        inputs: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
        for place, value in inputs:
            if isinstance(value, Tensor):
                self._leave_open(place, value)
        dynamo: Any = torch._dynamo
        try:
            with _always_alike():
                return self._compiled(self._block, *args, **kwargs)
        except dynamo.exc.FailOnRecompileLimitHit:
            # dynamo would go on like this without a word to whoever does not read its log
            rank_zero_warn(
                f"{type(self._block).__name__} was called in more than "
                f"{dynamo.config.recompile_limit} ways, and is not compiled any further: training "
                "goes on as without `model.compile`, from here on, for this block."
            )
            self._compiled = None
            return self._block._call_impl(*args, **kwargs)
        except dynamo.exc.TorchDynamoException as error:
            [reason, *_] = str(error).strip().splitlines() or [type(error).__name__]
            raise RuntimeError(
                f"{type(self._block).__name__} could not be compiled: {reason}. Train with "
                "`model.compile` false."
            ) from error

    def _leave_open(self, place: int | str, tensor: Tensor) -> None:
        """Note which dimensions of an input vary, and have them compiled for any size."""
        first = self._sizes.setdefault(place, tensor.shape)
        for dimension, (one, other) in enumerate(zip(first, tensor.shape, strict=True)):
            if one != other:  # a picture's height and width vary together
                together = (2, 3) if dimension > 1 and tensor.ndim == 4 else (dimension,)
                self._open |= {(place, each) for each in together}
        for dimension in range(tensor.ndim):
            # a size of one is compiled by itself, whether it is left open or not
            if (place, dimension) in self._open and tensor.shape[dimension] != 1:
                torch._dynamo.maybe_mark_dynamic(tensor, dimension)


@contextmanager
def _always_alike() -> Iterator[None]:
    """Make a pass that is recorded on a GPU, see `StepGraphs`, the same as the one before it.

    Autocast keeps no casts while one is recorded, and what differs in that is compiled anew; within
    a compiled block it has nothing to keep. Should something else be new, it is recorded
    uncompiled: a compiler waits for the GPU, which breaks the recording off.
    """
    was_on = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        if torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing():
            with torch.compiler.set_stance("eager_on_recompile"):
                yield
        else:
            yield
    finally:
        torch.set_autocast_cache_enabled(was_on)


def _compiled(backend: Any) -> Callable[..., Any]:
    """Make a function that calls a block, compiled.

    Dynamo keeps what it has compiled by code objects, and counts it against its limit: with one
    of its own, no other run and no other kind of block is in the way.
    """

    def call(block: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return block._call_impl(*args, **kwargs)

    own = FunctionType(call.__code__.replace(), call.__globals__, call.__name__)
    options: dict[str, Any] | None = None
    if backend == "inductor":
        # dropout draws what it draws uncompiled; no kernel is chosen by a race that another
        # machine, or a resumed run, might decide otherwise
        options = {"fallback_random": True, "deterministic": True}
    compiled: Callable[..., Any] = torch.compile(
        own, fullgraph=True, dynamic=False, backend=backend, options=options
    )
    return compiled
