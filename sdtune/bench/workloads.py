"""What is measured: a technique, with pictures to train it on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from lightning.pytorch import LightningDataModule

import sdtune
from sdtune.bench.bench_call import BenchCall, TechniqueName
from sdtune.bench.pictures import make_pictures
from sdtune.bench.random_bases import RANDOM_BASES, random_base
from sdtune.models import load_tokenizers
from sdtune.models.quantization import Quantization
from sdtune.models.skeleton import find_resolution
from sdtune.techniques.base import DiffusionFineTuningModule

__all__ = ["BATCH_SIZES", "TECHNIQUES", "Workload", "base_of"]

TECHNIQUES: tuple[TechniqueName, ...] = get_args(TechniqueName)

BATCH_SIZES: Mapping[TechniqueName, int] = {
    "style_lora": 6,
    "textual_inversion": 4,
    "dreambooth": 1,
    "pivotal_tuning": 1,
    "multi_concept": 1,
}
"""Those of recipes/sd14."""

_WORDS = ("cat", "rabbit")
_SAMPLES = 100_000  # an epoch is longer than any measurement


def base_of(name: str) -> str:
    """Turn a name that `--base` takes into a base.

    Args:
        name: One of `RANDOM_BASES`, whose base is written now if it was not, or any other.
    """
    return str(random_base(name)) if name in RANDOM_BASES else name


@dataclass(frozen=True)
class Workload:
    """A technique and its data, as often as one wants them.

    Attributes:
        technique: Its name.
        base: As in a recipe.
        resolution: Pixels.
        batch_size: Instance pictures in a step; class pictures come on top.
        rank: Of a LoRA.
        pictures: In the set.
        gradient_checkpointing: Whether activations are recomputed.
        folder: Where pictures and what is computed of them are.
        cuda_graphs: Whether passes are recorded on a GPU.
        compile: Whether blocks of the UNet are compiled.
        compile_blocks: Names of their classes; empty for those that are by default.
        channels_last: Whether channels of the UNet's convolutions lie last.
        benchmark: The Trainer's.
        quantization: How the frozen linear layers are kept; None is as they are.
    """

    technique: TechniqueName
    base: str
    resolution: int
    batch_size: int
    rank: int
    pictures: int
    gradient_checkpointing: bool
    folder: Path
    cuda_graphs: bool = True
    compile: bool = False
    compile_blocks: tuple[str, ...] = ()
    channels_last: bool = True
    benchmark: bool = False
    quantization: Quantization | None = None

    @classmethod
    def of(cls, call: BenchCall, technique: TechniqueName, folder: Path) -> Workload:
        """Take what a call says, and the defaults of what it does not.

        Args:
            call: The call.
            technique: One of those that it names.
            folder: Where pictures go.
        """
        base = base_of(call.base)
        return cls(
            technique=technique,
            base=base,
            resolution=call.resolution or find_resolution(base),
            batch_size=call.batch_size or BATCH_SIZES[technique],
            rank=call.rank,
            pictures=call.pictures,
            gradient_checkpointing=call.gradient_checkpointing,
            cuda_graphs=call.cuda_graphs,
            folder=folder,
            compile=call.compile,
            compile_blocks=tuple(call.compile_blocks or ()),
            channels_last=call.channels_last,
            benchmark=call.benchmark,
            quantization=call.quantization,
        )

    def module(self) -> DiffusionFineTuningModule:
        """Make the technique, fresh."""
        shared: dict[str, Any] = {
            "base": self.base,
            "gradient_checkpointing": self.gradient_checkpointing,
            "cuda_graphs": self.cuda_graphs,
            "compile": self.compile,
            "quantization": self.quantization,
        }
        make: dict[TechniqueName, Callable[[], DiffusionFineTuningModule]] = {
            "style_lora": lambda: sdtune.LoRAStyleModule(rank=self.rank, **shared),
            "textual_inversion": lambda: sdtune.TextualInversionModule(**self._word(), **shared),
            "dreambooth": lambda: sdtune.DreamBoothModule(
                rank=self.rank, text_encoder_learning_rate=1e-4, **shared
            ),
            "pivotal_tuning": lambda: sdtune.PivotalTuningModule(
                rank=self.rank, **self._word(), **shared
            ),
            "multi_concept": lambda: sdtune.MultiConceptModule(
                placeholder_tokens=[f"<{word}>" for word in _WORDS],
                initializer_tokens=[self._token(word) for word in _WORDS],
                **shared,
            ),
        }
        module = make[self.technique]()
        module.compiled_kinds = self.compile_blocks
        return module

    def data(self) -> LightningDataModule:
        """Make the data, and the pictures if they are not there yet."""
        shared: dict[str, Any] = {
            "resolution": self.resolution,
            "batch_size": self.batch_size,
            "cache_dir": self.folder / "cache",
        }
        pictures, repeats = self._pictures("pictures"), max(1, _SAMPLES // self.pictures)
        if self.technique == "style_lora":
            return sdtune.StyleDataModule(pictures, repeats=repeats, **shared)
        if self.technique == "multi_concept":
            concepts = [
                sdtune.Concept(str(pictures), repeats=repeats, **self._told(word))
                for word in _WORDS
            ]
            return sdtune.ConceptsDataModule(concepts, **shared)
        told = self._told("cat")
        if self.technique in ("textual_inversion", "pivotal_tuning"):
            told = {"instance_prompt": "<cat>", "prompt_templates": "object"}
        return sdtune.SubjectDataModule(pictures, repeats=repeats, **told, **shared)

    def _told(self, word: str) -> dict[str, Any]:
        """Say what pictures show, and which are the class's."""
        name = f"<{word}>" if self.technique == "multi_concept" else f"qqq {word}"
        return {
            "instance_prompt": f"a photo of {name}",
            "class_dir": str(self._pictures("class_pictures")),
            "class_prompt": f"a photo of a {word}",
        }

    def _pictures(self, name: str) -> Path:
        folder = self.folder / f"{name}_{self.pictures}_{self.resolution}"
        if not folder.is_dir():
            make_pictures(folder, self.pictures, self.resolution)
        return folder

    def _word(self) -> dict[str, Any]:
        return {"placeholder_token": "<cat>", "initializer_token": self._token("cat")}

    def _token(self, word: str) -> str:
        """Return the word, or its first letter where a small vocabulary holds no words."""
        [tokenizer, *_] = load_tokenizers(self.base)
        return word if len(tokenizer.tokenize(word)) == 1 else word[0]
