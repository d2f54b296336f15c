"""Adafactor (Shazeer & Stern 2018): tensors of one shape in one go, and rates of its own shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from transformers import Adafactor

from sdtune.functional import copied_to
from sdtune.techniques.optimization.parameter_groups import ParameterGroup

__all__ = ["GroupedAdafactor", "RelativeStepAdafactor"]

_LARGEST_STACK = 2**22
"""Elements of the tensors that are updated in one go: 16 MiB, copied for as long as it takes."""


class GroupedAdafactor(Adafactor):
    """transformers' Adafactor, which updates tensors of one shape in one go.

    An adapter has hundreds of small tensors of a few shapes, and transformers' takes some 24
    operations for each. The arithmetic and the state are the same, so that checkpoints of either
    go on with the other.

    Args:
        groups: Parameter groups with `params` and `lr`.
        **options: As transformers' Adafactor takes them.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step, see `torch.optim.Optimizer.step`."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            learned = [each for each in group["params"] if each.grad is not None]
            for each in learned:
                self._start(each, group)
            for stack in self._stacks(learned):
                self._update(stack, group)
        return loss

    def _start(self, parameter: Tensor, group: dict[str, Any]) -> None:
        """Give a tensor its state, or bring a state that was loaded to where the gradient is."""
        grad = parameter.grad
        assert grad is not None
        if grad.is_sparse:
            raise RuntimeError("Adafactor does not take sparse gradients.")
        like = torch.empty(0, dtype=torch.float32, device=grad.device)
        state = self.state[parameter]
        shapes: dict[str, torch.Size] = {"exp_avg_sq": grad.shape}
        if grad.dim() >= 2:
            shapes = {
                "exp_avg_sq_row": grad.shape[:-1],
                "exp_avg_sq_col": grad.shape[:-2] + grad.shape[-1:],
            }
        if group["beta1"] is not None:
            shapes["exp_avg"] = grad.shape
        state.setdefault("step", 0)
        for name, shape in shapes.items():
            state[name] = state[name].to(like) if name in state else like.new_zeros(shape)

    def _stacks(self, parameters: list[Tensor]) -> Iterator[list[Tensor]]:
        """Put together what has one shape and has been updated as often."""
        alike: dict[tuple[Any, ...], list[Tensor]] = {}
        for each in parameters:
            key = (each.shape, each.dtype, each.device, self.state[each]["step"])
            alike.setdefault(key, []).append(each)
        for some in alike.values():
            size = max(1, _LARGEST_STACK // max(1, some[0].numel()))
            yield from (some[begin : begin + size] for begin in range(0, len(some), size))

    def _update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """Update n tensors of one shape; everything below has them as its first dimension."""
        states = [self.state[each] for each in parameters]
        grads = torch.stack([each.grad for each in parameters]).float()  # type: ignore[misc]
        values = torch.stack(parameters).float()
        for state in states:
            state["step"] += 1
        sizes = _rms(values)  # (n, 1, ..., 1)
        for state, size in zip(states, sizes.flatten().unbind(), strict=True):
            state["RMS"] = size
        rates = self._rates(sizes, states[0]["step"], group)

        beta2 = 1.0 - math.pow(states[0]["step"], group["decay_rate"])
        squares = grads**2 + group["eps"][0]
        if parameters[0].dim() >= 2:
            rows = _average(states, "exp_avg_sq_row", squares.mean(dim=-1), beta2)
            columns = _average(states, "exp_avg_sq_col", squares.mean(dim=-2), beta2)
            updates = Adafactor._approx_sq_grad(rows, columns).mul_(grads)
        else:
            updates = _average(states, "exp_avg_sq", squares, beta2).rsqrt().mul_(grads)
        updates.div_((_rms(updates) / group["clip_threshold"]).clamp_(min=1.0)).mul_(rates)
        if group["beta1"] is not None:
            updates = _average(states, "exp_avg", updates, group["beta1"])
        if group["weight_decay"] != 0:
            decay = group["weight_decay"] * rates
            if isinstance(decay, Tensor):
                values.sub_(values * decay)
            else:
                values.sub_(values, alpha=decay)
        values.sub_(updates)
        torch._foreach_copy_(parameters, list(values.unbind()))

    def _rates(self, sizes: Tensor, step: int, group: dict[str, Any]) -> Tensor | float:
        """The rate of each tensor, on its device, so that nothing waits for it."""
        rate: float = group["lr"]
        if group["relative_step"]:
            smallest = 1e-6 * step if group["warmup_init"] else 1e-2
            rate = min(smallest, 1.0 / math.sqrt(step))
        return sizes.clamp(min=group["eps"][1]) * rate if group["scale_parameter"] else rate


class RelativeStepAdafactor(GroupedAdafactor):
    """Adafactor whose rates are a share of each tensor's size (Shazeer & Stern 2018, section 8).

    At step t a tensor X moves at `max(eps_2, RMS(X)) * min(1e-2, 1 / sqrt(t))`. Each group's `lr`
    is the mean over its tensors of the rate of the coming step, for curves to show: nothing reads
    it. It is a tensor on their device, so that no step waits for it.

    Args:
        groups: Parameter groups with `params`; their `lr` is not used.
        weight_decay: Decoupled weight decay.
    """

    def __init__(self, groups: list[ParameterGroup], weight_decay: float) -> None:
        unrated = [{key: each[key] for key in each if key != "lr"} for each in groups]
        super().__init__(unrated, lr=None, weight_decay=weight_decay, relative_step=True)  # type: ignore[no-untyped-call]
        self._show_rates()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step, see `torch.optim.Optimizer.step`."""
        loss = super().step(closure)
        self._show_rates()
        return loss

    @torch.no_grad()
    def _show_rates(self) -> None:
        for group in self.param_groups:
            norms = torch.stack(torch._foreach_norm(group["params"]))
            counts = torch.tensor([float(each.numel()) for each in group["params"]])
            taken = [self.state.get(each, {}).get("step", 0) for each in group["params"]]
            steps = torch.tensor([min(1e-2, 1.0 / math.sqrt(each + 1)) for each in taken])
            sizes = (norms / copied_to(counts.sqrt(), norms.device)).clamp(min=group["eps"][1])
            group["lr"] = (sizes * copied_to(steps, norms.device)).mean()


def _rms(stack: Tensor) -> Tensor:
    """Root mean square of each of n tensors, (n, ...) to (n, 1, ..., 1)."""
    every = tuple(range(1, stack.dim()))
    if not every:
        return stack.abs()
    norms: Tensor = torch.linalg.vector_norm(stack, dim=every, keepdim=True)
    return norms / math.sqrt(stack[0].numel())


def _average(states: list[dict[str, Any]], name: str, new: Tensor, beta: float) -> Tensor:
    """Move the running averages of n tensors towards new values, (n, ...), and return them."""
    kept = [state[name] for state in states]
    averages = torch.stack(kept).mul_(beta).add_(new, alpha=1.0 - beta)
    torch._foreach_copy_(kept, list(averages.unbind()))
    return averages
