"""What may learn in a model, by one protocol: words, a LoRA, keys and values, the whole UNet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from sdtune._prompt_fields import Subject
from sdtune.adapters.adapter import Adapter
from sdtune.models import StableDiffusion

__all__ = ["Learned", "LearnedGroup"]


@dataclass(frozen=True)
class LearnedGroup:
    """Parameters that learn at one rate.

    Attributes:
        name: As the curve of their learning rate is called, such as `unet`.
        parameters: The parameters.
        rate: Name of the technique's argument that holds their rate, such as `learning_rate`.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    rate: str = "learning_rate"


class Learned(ABC):
    """One thing that learns, in a model that is otherwise frozen.

    It holds settings and no weights: those are in the model, which each method is given. So it
    can be checked before any weights are loaded.
    """

    @abstractmethod
    def add_to(self, model: StableDiffusion, *, seed: int, clip_skip: int) -> None:
        """Add it to a model, without changing what the model does.

        Args:
            model: The base, on the CPU.
            seed: Seed of first values.
            clip_skip: Layer of the text encoder whose output is used, counted from the end: what
                is added behind it would never learn.
        """

    def name_subjects(self, subjects: Sequence[Subject | None], base: str) -> None:
        """Take over what the subjects of some data are called, where an argument leaves it open.

        Args:
            subjects: The subjects, None for one that has no noun.
            base: What the model will be loaded from.
        """
        return

    def start_from(
        self, model: StableDiffusion, path: Path, stated: Mapping[str, object]
    ) -> set[type[Adapter]]:
        """Take values from an adapter's file, to go on training, if it holds what learns here.

        Args:
            model: The model, after `add_to`.
            path: A file or folder of any format.
            stated: Arguments of the technique that are not left at their defaults, and so must
                agree with the file.

        Returns:
            The kinds of adapters in the file that it has taken all of; none by default.

        Raises:
            ValueError: If the file contradicts an argument or does not fit the model.
        """
        return set()

    def starting_problems(
        self, path: Path, parts: Mapping[str, nn.Module], stated: Mapping[str, object]
    ) -> list[str]:
        """List what keeps it from going on from a file; loads no weights of the base.

        Args:
            path: As in `start_from`.
            parts: The base's UNet and text encoders, on the meta device too.
            stated: As in `start_from`.

        Returns:
            One sentence each; none if the file holds nothing that learns here.
        """
        return []

    def record(self, model: StableDiffusion) -> dict[str, str]:
        """Say what of it was taken from a file, in the place of the arguments that it overrules.

        Args:
            model: The model, after `start_from`.

        Returns:
            Strings for an adapter's header, such as `sdtune.rank`; none by default.
        """
        return {}

    @abstractmethod
    def groups(self, model: StableDiffusion) -> list[LearnedGroup]:
        """List its parameters; all that learns in the model is in some group."""

    @abstractmethod
    def switched_off(self, model: StableDiffusion) -> AbstractContextManager[None]:
        """Make the model its own base for a while, as far as this goes."""

    @abstractmethod
    def adapters(self, model: StableDiffusion) -> list[Adapter]:
        """Return copies of what it has learned, on the CPU."""

    @property
    def needs_float32(self) -> bool:
        """Whether the base must be float32, because it is itself what learns."""
        return False

    @property
    def trains_whole(self) -> Collection[str]:
        """Ends of the names of the UNet's layers that it needs as they are, and not quantised."""
        return ()

    @property
    def drops_inputs(self) -> bool:
        """Whether anything is dropped at random while it trains."""
        return False

    @property
    def drops_inputs_of_prompts(self) -> bool:
        """Whether the text encoder drops something, so that no two prompts are encoded alike."""
        return False

    @property
    def encodes_prompts_every_step(self) -> bool:
        """Whether some prompts are encoded at every step, for gradients pass the text encoder."""
        return False

    def encodes_anew(self, caption: str) -> bool:
        """Tell whether what a caption is encoded to can change from step to step.

        Args:
            caption: A caption.

        Returns:
            Whether it can.
        """
        return self.encodes_prompts_every_step

    def version(self, caption: str, model: StableDiffusion) -> Hashable:
        """Tell the state in which a caption is encoded now.

        Args:
            caption: A caption that is not encoded anew.
            model: The model, after `add_to`.

        Returns:
            Another value after any write to what encodes the caption; None, as by default, if
            nothing that learns here does.
        """
        return None

    def check(self, base: str) -> None:
        """Check all that can be checked without the weights.

        Args:
            base: What the model will be loaded from; it may be one that does not exist.

        Raises:
            TypeError: If an argument is of another type.
            ValueError: If arguments are out of their ranges, with a line for each.
        """
        return

    def problems(self, base: str) -> list[str]:
        """List what of it does not fit a base; loads no weights.

        Args:
            base: What the model will be loaded from.

        Returns:
            One sentence each.
        """
        return []

    def compile_problems(self) -> list[str]:
        """List what keeps blocks that hold it from being compiled.

        Returns:
            One sentence each.
        """
        return []

    def problems_with(self, data: object) -> list[str]:
        """List what keeps it from learning from some data; loads no weights.

        Args:
            data: A data module, set up or not.

        Returns:
            One sentence each.
        """
        return []

    def connected(self, model: StableDiffusion, hidden_states: Tensor) -> Tensor:
        """Tie it to prompts that were looked up: then it has a gradient, of zero, all the same.

        Args:
            model: The model in training.
            hidden_states: (B, L, D) of a batch none of which was encoded anew.

        Returns:
            The same values.
        """
        return hidden_states

    def after_step(self, model: StableDiffusion) -> None:
        """Correct what an optimizer step has moved.

        Args:
            model: The model in training.
        """
        return

    def corrected_by_average(self, model: StableDiffusion) -> Sequence[nn.Parameter]:
        """List what `after_average` changes.

        Args:
            model: The model, after `add_to`.

        Returns:
            The parameters; none by default.
        """
        return ()

    def after_average(self, model: StableDiffusion) -> None:
        """Correct an average, which is no longer trained.

        Args:
            model: The model, with the average in it.
        """
        return
