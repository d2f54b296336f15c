"""What prompts are encoded to, kept so that each is encoded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from sdtune.models.conditioning import Conditioning

__all__ = ["PromptCache"]


class PromptCache:
    """Whole conditionings by caption, on the CPU.

    The encoder is given with every call and not held: it may be loaded, moved or replaced
    between two of them.
    """

    def __init__(self) -> None:
        self._known: dict[str, Conditioning] = {}

    def remember(
        self,
        captions: Sequence[str],
        encode: Callable[[Sequence[str]], Conditioning],
        at_once: int = 64,
    ) -> None:
        """Encode the captions that are not known yet, without gradients.

        Args:
            captions: Any number, which may be repeated.
            encode: Turns B captions into their conditioning.
            at_once: Captions in one batch at most, which bounds memory.
        """
        unknown = [each for each in dict.fromkeys(captions) if each not in self._known]
        for first in range(0, len(unknown), at_once):
            batch = unknown[first : first + at_once]
            with torch.no_grad():
                encoded = encode(batch).to("cpu")
            self._known |= {caption: encoded[[row]] for row, caption in enumerate(batch)}

    def batch(
        self,
        captions: Sequence[str],
        encode: Callable[[Sequence[str]], Conditioning],
        is_anew: Callable[[str], bool],
        device: torch.device,
    ) -> Conditioning:
        """Give the conditioning of a batch, each of its captions encoded once or looked up.

        Args:
            captions: B captions, which may be repeated.
            encode: As in `remember`.
            is_anew: Tells of a caption whether it is encoded now, with gradients, and not kept.
            device: Where those go that are looked up.

        Returns:
            B rows, in the order of the captions.
        """
        distinct = list(dict.fromkeys(captions))
        anew = [caption for caption in distinct if is_anew(caption)]
        known = [caption for caption in distinct if not is_anew(caption)]
        # one by one, so that no bit depends on which of them were met together
        self.remember(known, encode, at_once=1)
        parts = [encode(anew)] if anew else []
        if known:
            rows = Conditioning.cat([self._known[caption] for caption in known])
            parts.append(_like(rows, parts[0]) if parts else rows.to(device, non_blocking=True))
        conditioning = Conditioning.cat(parts) if len(parts) > 1 else parts[0]
        places = {caption: row for row, caption in enumerate(anew + known)}
        if list(captions) == list(places):
            return conditioning
        return conditioning[[places[caption] for caption in captions]]


def _like(known: Conditioning, anew: Conditioning) -> Conditioning:
    """Copy to the devices and types of another conditioning, so that the two can be joined."""
    return Conditioning(
        known.encoder_hidden_states.to(anew.encoder_hidden_states, non_blocking=True),
        {
            name: value.to(anew.added_cond_kwargs[name], non_blocking=True)
            for name, value in known.added_cond_kwargs.items()
        },
    )
