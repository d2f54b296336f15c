"""The bytes of all tensors that are alive at once, counted while operations run."""

from __future__ import annotations

import gc
import weakref
from typing import Any, Self

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["LiveMemory"]


class LiveMemory(TorchDispatchMode):
    """Counts what operations make and what is let go of, on any device and without values too.

    Each storage counts once, however many tensors lie in it, from the operation that made it until
    nothing refers to it any more: as a device's allocator sees it, but for rounding. Recomputing
    leaves tensors without values in circles of references, which are collected before a peak of the
    backward pass is believed.

    Args:
        known: Tensors that are not counted, such as weights.

    Attributes:
        is_backward: Whether what runs may recompute; for whoever runs it to say.
        bytes: Alive now.
        peak: The most that were alive at once.
    """

    def __init__(self, known: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.is_backward = False
        self.bytes = 0
        self.peak = 0
        self._known = {each.untyped_storage()._cdata for each in known}
        self._keeps = known  # an address stays theirs
        self._alive: set[int] = set()
        self._was_frozen = False

    def __enter__(self) -> Self:
        """Begin; what is there already is not looked through for garbage."""
        # counted once a step: it looks at each object
        self._was_frozen = gc.get_freeze_count() > 0
        gc.collect()
        gc.freeze()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        """End; what others have left aside, such as the libraries' imports, stays aside."""
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        if not self._was_frozen:
            gc.unfreeze()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Do an operation, and count what it made."""
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, Tensor):
                self._see(each)
        return result

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known or key in self._alive:
            return
        self._alive.add(key)
        self.bytes += size
        weakref.finalize(storage, self._release, key, size)
        if self.is_backward and self.bytes > self.peak:
            while gc.collect():  # what one pass lets go of held the next
                pass
        self.peak = max(self.peak, self.bytes)

    def _release(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self.bytes -= size
