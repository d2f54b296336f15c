"""What prompts are encoded to, kept so that each is encoded once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

from sdtune.files.feature_store import FeatureStore
from sdtune.functional import copied_to
from sdtune.models.conditioning import Conditioning

__all__ = ["PromptCache"]

Encode = Callable[[Sequence[str]], Conditioning]

# part of every key: raise it when prompts are encoded or stored in another way
VERSION = 2  # 2: tokenizers and configurations belong to what encodes

_HIDDEN_STATES = "encoder_hidden_states"
_AT_ONCE = 64
_LATELY_USED = 256  # captions: of SD 1, 60 MB


class PromptCache:
    """Whole conditionings by caption, on disk if there is a store, and copied out when needed.

    The encoder is given with every call and not held: it may be loaded, moved or replaced
    between two of them. Captions that were not remembered are encoded when they are met, and those
    that were met lately are in memory; so memory is bounded, however many there are. What encodes
    a caption may be written meanwhile: it is looked up only as long as its version is the same.

    Args:
        store: Where conditionings are kept that were remembered; None keeps them in memory.
        encoder: What encodes: its identity, its dtype, its settings. Part of the store's keys.
    """

    def __init__(self, store: FeatureStore | None = None, encoder: str = "") -> None:
        self.store = store
        self.encoder = encoder
        self._known: dict[str, Conditioning] = {}
        self._lately: OrderedDict[str, tuple[Hashable, Conditioning]] = OrderedDict()

    def has_room(self, needed: int, captions: Sequence[str]) -> bool:
        """Tell whether captions may be remembered, all of them.

        Args:
            needed: Bytes that they take together, encoded.
            captions: The captions.
        """
        if self.store is None:
            return True
        return self.store.has_room(needed, lambda: map(self._key, captions))

    def remember(
        self, captions: Sequence[str], encode: Encode, device: torch.device | str = "cpu"
    ) -> None:
        """Encode the captions that are not known yet, without gradients.

        On a CPU one by one; on a GPU 64 at once, always that many, the last of them repeated if
        there are less: so no bit of one depends on which others were met together with it.

        Args:
            captions: Any number, which may be repeated.
            encode: Turns B captions into their conditioning.
            device: Where it does so.
        """
        at_once = 1 if torch.device(device).type == "cpu" else _AT_ONCE
        unknown = self._unknown(list(dict.fromkeys(captions)))
        for first in range(0, len(unknown), at_once):
            batch = unknown[first : first + at_once]
            with torch.no_grad():
                encoded = encode(batch + batch[-1:] * (at_once - len(batch))).to("cpu")
            for row, caption in enumerate(batch):
                self._keep(caption, encoded[[row]])
        if self.store is not None:
            self.store.flush()

    def batch(
        self,
        captions: Sequence[str],
        encode: Encode,
        is_anew: Callable[[str], bool],
        device: torch.device,
        version: Callable[[str], Hashable] = lambda caption: None,
    ) -> Conditioning:
        """Give the conditioning of a batch, each of its captions encoded once or looked up.

        Args:
            captions: B captions, which may be repeated.
            encode: As in `remember`.
            is_anew: Tells of a caption whether it is encoded now, with gradients, and not kept.
            device: Where those go that are looked up.
            version: Tells of a caption that is looked up which state of its encoder it needs, None
                if that never changes; it is encoded anew when this differs.

        Returns:
            B rows, in the order of the captions.
        """
        distinct = list(dict.fromkeys(captions))
        anew = [caption for caption in distinct if is_anew(caption)]
        known = [caption for caption in distinct if not is_anew(caption)]
        looked_up = [self._row(caption, encode, version(caption)) for caption in known]
        parts = [encode(anew)] if anew else []
        if known:
            rows = Conditioning.cat(looked_up)
            parts.append(_like(rows, parts[0]) if parts else rows.to(device, non_blocking=True))
        conditioning = Conditioning.cat(parts) if len(parts) > 1 else parts[0]
        places = {caption: row for row, caption in enumerate(anew + known)}
        if list(captions) == list(places):
            return conditioning
        return conditioning[[places[caption] for caption in captions]]

    def _unknown(self, captions: Sequence[str]) -> list[str]:
        if self.store is None:
            return [each for each in captions if each not in self._known]
        keys = [self._key(each) for each in captions]
        missing = set(self.store.missing(keys))
        return [each for each, key in zip(captions, keys, strict=True) if key in missing]

    def _keep(self, caption: str, row: Conditioning) -> None:
        if self.store is None:
            self._known[caption] = row
            return
        tensors = {_HIDDEN_STATES: row.encoder_hidden_states[0]}
        extra = {name: value[0] for name, value in row.added_cond_kwargs.items()}
        self.store.put(self._key(caption), tensors | extra)

    def _row(self, caption: str, encode: Encode, version: Hashable) -> Conditioning:
        """Look a caption up, or encode it, by itself, so that no bit depends on its batch."""
        if version is None and caption in self._known:
            return self._known[caption]
        found = self._lately.get(caption)
        if found is None or found[0] != version:
            row = self._stored(caption) if version is None else None
            if row is None:
                with torch.no_grad():
                    row = encode([caption]).to("cpu")
            found = self._lately[caption] = (version, row)
            if len(self._lately) > _LATELY_USED:
                self._lately.popitem(last=False)
        self._lately.move_to_end(caption)
        return found[1]

    def _stored(self, caption: str) -> Conditioning | None:
        found = None if self.store is None else self.store.get(self._key(caption))
        if found is None:
            return None
        rows = {name: value[None] for name, value in found.items()}
        return Conditioning(rows.pop(_HIDDEN_STATES), rows)

    def _key(self, caption: str) -> bytes:
        return hashlib.sha256(f"prompt {VERSION} {self.encoder} {caption}".encode()).digest()


def _like(known: Conditioning, anew: Conditioning) -> Conditioning:
    """Copy to the devices and types of another conditioning, so that the two can be joined."""

    def copied(value: Tensor, like: Tensor) -> Tensor:
        return copied_to(value, like.device, like.dtype)

    return Conditioning(
        copied(known.encoder_hidden_states, anew.encoder_hidden_states),
        {
            name: copied(value, anew.added_cond_kwargs[name])
            for name, value in known.added_cond_kwargs.items()
        },
    )
