"""What a denoiser is told besides the noisy latents and the timestep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import lcm

import torch
from torch import Tensor

from sdtune.functional import copied_to

__all__ = ["Conditioning", "aligned"]


@dataclass
class Conditioning:
    """What the UNet is told besides the noisy latents and the timestep.

    Attributes:
        encoder_hidden_states: (B, L, D) one row per token of the prompts.
        added_cond_kwargs: Extra inputs, each (B, ...), passed on to the UNet by name; empty for
            Stable Diffusion 1 and 2.
    """

    encoder_hidden_states: Tensor
    added_cond_kwargs: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of prompts, B."""
        return len(self.encoder_hidden_states)

    @property
    def _device(self) -> torch.device:
        return self.encoder_hidden_states.device

    def __getitem__(self, index: slice | Sequence[int] | Tensor) -> Conditioning:
        """Select rows, by a slice, a list of positions or a tensor of them."""
        if isinstance(index, Sequence):
            index = torch.as_tensor(index)
        # a device that indexes by what is on the CPU waits for it
        selection = copied_to(index, self._device) if isinstance(index, Tensor) else index
        return Conditioning(
            self.encoder_hidden_states[selection],
            {name: value[selection] for name, value in self.added_cond_kwargs.items()},
        )

    @classmethod
    def cat(cls, conditionings: Sequence[Conditioning]) -> Conditioning:
        """Join batches of prompts along their first dimension.

        Args:
            conditionings: At least one, all with the same D and extra inputs. Where L differs, see
                `aligned`.

        Returns:
            One conditioning with all the rows, in order.
        """
        conditionings = aligned(*conditionings)
        names = conditionings[0].added_cond_kwargs
        return cls(
            torch.cat([each.encoder_hidden_states for each in conditionings]),
            {
                name: torch.cat([each.added_cond_kwargs[name] for each in conditionings])
                for name in names
            },
        )

    def with_inputs(self, inputs: Mapping[str, Tensor]) -> Conditioning:
        """Join what the prompts say with what is known of the pictures, such as their sizes.

        Args:
            inputs: Extra inputs by name, each (B, ...), beside those that the prompts gave.

        Returns:
            A conditioning that holds both.

        Raises:
            ValueError: If an input is given twice, or for another number of rows.
        """
        for name, value in inputs.items():
            if name in self.added_cond_kwargs or len(value) != len(self):
                raise ValueError(
                    f"Expected `{name}` to be a new input of {len(self)} rows, beside "
                    f"{sorted(self.added_cond_kwargs)}, but got {len(value)} rows."
                )
        return Conditioning(self.encoder_hidden_states, {**self.added_cond_kwargs, **inputs})

    def to(
        self,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        non_blocking: bool = False,
    ) -> Conditioning:
        """Copy to a device and a dtype; None leaves either as it is.

        Args:
            device: For every tensor.
            dtype: A floating type, for the tensors of such a type.
            non_blocking: Whether a copy may go on beside other work, see `copied_to`.

        Returns:
            A conditioning; tensors that are there already are not copied.
        """

        def moved(value: Tensor) -> Tensor:
            wanted = dtype if value.is_floating_point() else None
            if non_blocking and device is not None:
                return copied_to(value, device, wanted)
            return value.to(device, wanted)

        return Conditioning(
            moved(self.encoder_hidden_states),
            {name: moved(value) for name, value in self.added_cond_kwargs.items()},
        )


def aligned(*conditionings: Conditioning) -> list[Conditioning]:
    """Bring prompts of different lengths to one length, so that they fit into one batch.

    Hidden states are repeated as a whole, up to the least common multiple of the lengths. That is
    no padding: where every token stands twice, attention gives each half the weight, and what a
    prompt does to a picture is the same, whatever it is beside.

    Args:
        *conditionings: With the same D.

    Returns:
        As many, all of one L.
    """
    lengths = [each.encoder_hidden_states.shape[1] for each in conditionings]
    length = lcm(*lengths)
    return [
        each
        if own == length
        else replace(
            each,
            encoder_hidden_states=each.encoder_hidden_states.repeat(1, length // own, 1),
        )
        for each, own in zip(conditionings, lengths, strict=True)
    ]
