"""One share of `sdtune cache fill`, as a worker carries it out."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from lightning.pytorch import LightningDataModule

from sdtune.commands.errors import CallError
from sdtune.commands.quiet import quiet_devices, quiet_misleading_messages
from sdtune.commands.recipe_cli import RecipeCLI
from sdtune.files.cache_folder import size_words
from sdtune.files.feature_store import FeatureStore

__all__ = ["encode_share", "share_summary"]


@runtime_checkable
class _FillsFeatures(Protocol):
    """What can encode data before training, as a technique does."""

    def fill_features(self, data: object, precision: str, share: int, shares: int) -> None:
        """Encode a share."""
        ...


@runtime_checkable
class _KeepsFeatures(Protocol):
    """Data whose encoded pictures and captions are kept, as those of sdtune are."""

    @property
    def features(self) -> FeatureStore:
        """Where they are kept."""
        ...


def encode_share(words: Sequence[str], shares: int, share: int) -> str:
    """Encode a share of a recipe's pictures and captions.

    Args:
        words: The call, as for `sdtune fit`.
        shares: How many shares there are.
        share: Which of them, from 0.

    Returns:
        What is kept now, in a sentence.

    Raises:
        CallError: If the recipe or the data is wrong, or is none of sdtune's.
    """
    model, data, precision = _built(words)
    model.fill_features(data, precision, share, shares)
    return _summary(data)


def share_summary(words: Sequence[str]) -> str:
    """Say what is kept for a recipe, in a sentence."""
    return _summary(_built(words)[1])


def _built(words: Sequence[str]) -> tuple[_FillsFeatures, _KeepsFeatures, str]:
    quiet_misleading_messages()
    with quiet_devices():
        cli = RecipeCLI(words)
    model, data = cli.model, cli.datamodule
    if not (isinstance(model, _FillsFeatures) and isinstance(data, _KeepsFeatures)):
        raise CallError(["Expected a technique and a data module of sdtune, to encode by."])
    if isinstance(data, LightningDataModule):
        data.setup("fit")
    return model, data, str(cli.trainer.precision)


def _summary(data: _KeepsFeatures) -> str:
    store = data.features
    size = sum(path.stat().st_size for path in store.folder.glob("*.safetensors"))
    return f"{store.folder}: {len(store)} entries, {size_words(size)}"
