"""Pictures that several processes draw together, each a share, as one process would draw them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from sdtune.evaluation.base_pictures import Draw
from sdtune.models.sampling import DRAWN_AT_ONCE

__all__ = ["SharedDrawing"]

# the first process scores meanwhile; the GPUs' own groups would take that for a failure
_PATIENCE = timedelta(days=1)


class SharedDrawing:
    """Shares out what is to be drawn, in the groups in which one process draws it.

    A picture's last bits depend on how many are drawn at once. So a group of `DRAWN_AT_ONCE` stays
    together, and the pictures are the same to the last bit, however many processes there are.

    Made on every process at once, when they know each other. Words and pictures go from CPU to
    CPU, so that no GPU waits.
    """

    def __init__(self) -> None:
        several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        self._rank, self._processes = (
            (dist.get_rank(), dist.get_world_size()) if several else (0, 1)
        )
        self._group: Any = dist.new_group(backend="gloo", timeout=_PATIENCE) if several else None

    def draw(self, draw: Draw, prompts: Sequence[str], seeds: Sequence[int]) -> Tensor | None:
        """Draw pictures. Called on every process, with the same words.

        Args:
            draw: Draws B pictures, as one process would.
            prompts: B texts.
            seeds: B seeds.

        Returns:
            (B, 3, H, W) on the first process, on the CPU if there are several; None on the others.

        Raises:
            RuntimeError: On the first process, if another could not draw.
        """
        if self._group is None:
            return draw(prompts, seeds)
        groups = [slice(n, n + DRAWN_AT_ONCE) for n in range(0, len(prompts), DRAWN_AT_ONCE)]
        own: list[Tensor] = []
        failure: Exception | None = None
        try:
            mine = groups[self._rank :: self._processes]
            own = [draw(prompts[group], seeds[group]).cpu() for group in mine]
        except Exception as error:  # the others must not wait for what does not come
            failure = error
        found: list[Any] | None = [None] * self._processes if self._rank == 0 else None
        told = own if failure is None else f"{type(failure).__name__}: {failure}"
        dist.gather_object(told, found, dst=0, group=self._group)
        if failure is not None:
            raise failure
        return None if found is None else _in_order(found, len(groups))

    @contextmanager
    def lead(self, draws: Mapping[str, Draw]) -> Iterator[dict[str, Draw]]:
        """Let the others draw with the first process. Called there, while they `follow`.

        Args:
            draws: Name -> what draws.

        Yields:
            Name -> what draws on all processes.
        """

        def shared(name: str) -> Draw:
            def draw(prompts: Sequence[str], seeds: Sequence[int]) -> Tensor:
                self._tell((name, list(prompts), list(seeds)))
                images = self.draw(draws[name], prompts, seeds)
                if images is None:
                    raise RuntimeError("Expected the first of several processes to lead.")
                return images

            return draw

        try:
            yield {name: shared(name) for name in draws}
        except BaseException as error:
            with suppress(RuntimeError):  # they may be gone
                self._tell(RuntimeError(f"The first process failed: {error}"))
            raise
        self._tell(None)

    def follow(self, draws: Mapping[str, Draw]) -> None:
        """Draw what the first process asks for, until it needs no more.

        Args:
            draws: As there.

        Raises:
            RuntimeError: If the first process failed.
        """
        failure: Exception | None = None
        while (asked := self._tell(None)) is not None:
            if isinstance(asked, RuntimeError):
                raise failure or asked
            name, prompts, seeds = asked
            try:
                self.draw(draws[name], prompts, seeds)
            except Exception as error:  # the first process knows, and tells all others
                failure = error

    def _tell(self, what: Any) -> Any:
        """Send from the first process to the others; return what was sent."""
        if self._group is None:
            return what
        sent = [what]
        dist.broadcast_object_list(sent, src=0, group=self._group)
        return sent[0]


def _in_order(found: Sequence[Any], groups: int) -> Tensor:
    """Put groups of pictures, which the processes took in turn, behind each other."""
    for rank, each in enumerate(found):
        if isinstance(each, str):
            raise RuntimeError(f"Process {rank} could not draw its share: {each}")
    count = len(found)
    return torch.cat([found[group % count][group // count] for group in range(groups)])
