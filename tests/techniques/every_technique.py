"""Every technique that there is, and data that it can learn from, for tests over all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from sdtune.data.concept import Concept
from sdtune.data.concepts import ConceptsDataModule
from sdtune.data.style import StyleDataModule
from sdtune.data.subject import SubjectDataModule
from sdtune.techniques.base import DiffusionFineTuningModule
from sdtune.techniques.dreambooth import DreamBoothModule
from sdtune.techniques.learned_words import LearnedWords
from sdtune.techniques.lora_style import LoRAStyleModule
from sdtune.techniques.multi_concept import MultiConceptModule
from sdtune.techniques.pivotal_tuning import PivotalTuningModule
from sdtune.techniques.textual_inversion import TextualInversionModule

__all__ = ["LYCORIS", "TECHNIQUES", "Build", "data_for"]

Build = Callable[[str], DiffusionFineTuningModule]

TECHNIQUES: dict[str, Build] = {
    "lora": lambda base: LoRAStyleModule(base, rank=4, alpha=8, learning_rate=1e-2),
    "lora_text_encoder": lambda base: LoRAStyleModule(
        base,
        rank=4,
        learning_rate=1e-2,
        text_encoder_learning_rate=1e-2,
        keep_content_above=0.6,
    ),
    "dropout": lambda base: LoRAStyleModule(base, rank=4, dropout=0.3, learning_rate=1e-2),
    "dora": lambda base: LoRAStyleModule(base, rank=4, use_dora=True, learning_rate=1e-2),
    "dreambooth": lambda base: DreamBoothModule(
        base, rank=4, learning_rate=1e-2, class_inference_steps=1, text_encoder_learning_rate=1e-2
    ),
    "dreambooth_full": lambda base: DreamBoothModule(
        base, full_finetune=True, learning_rate=1e-3, class_inference_steps=1
    ),
    "textual_inversion": lambda base: TextualInversionModule(
        "<disc>", "c d", base, num_vectors=2, learning_rate=1e-2
    ),
    "pivotal_tuning": lambda base: PivotalTuningModule(
        "<disc>", "c", base, rank=4, learning_rate=1e-2, embedding_stop_fraction=1.0
    ),
    "pivotal_tuning_text_encoder": lambda base: PivotalTuningModule(
        "<disc>",
        "c",
        base,
        rank=4,
        learning_rate=1e-2,
        text_encoder_learning_rate=1e-2,
        embedding_norm="initializer",
        embedding_stop_fraction=0.1,
    ),
    "multi_concept": lambda base: MultiConceptModule(
        ["<disc>", "<ring>"],
        ["c d", "d"],
        base,
        num_vectors=2,
        embedding_learning_rate=1e-2,
        learning_rate=1e-2,
        class_inference_steps=1,
    ),
    "multi_concept_lora": lambda base: MultiConceptModule(
        ["<disc>", "<ring>"],
        ["c", "d"],
        base,
        rank=4,
        embedding_learning_rate=1e-2,
        learning_rate=1e-2,
        prior_loss_weight=0,
    ),
}

LYCORIS: dict[str, Build] = {
    name: lambda base, name=name: LoRAStyleModule(
        base, rank=2, alpha=1, adapter_type=name, learning_rate=1e-2
    )
    for name in ("loha", "lokr")
}
"""The same technique with other layers, for the tests in which these matter."""


def data_for(
    module: DiffusionFineTuningModule, folder: Path, **arguments: Any
) -> pl.LightningDataModule:
    arguments = {"resolution": 64, "batch_size": 2, "flip": True, **arguments}
    if isinstance(module, MultiConceptModule):
        prior = {"class_prompt": "a thing", "class_count": 2}
        concepts = [Concept(folder, f"a {word.token}", **prior) for word in module.words.words]
        return ConceptsDataModule(concepts, **arguments)
    if isinstance(module, DreamBoothModule):
        prompts = {"instance_prompt": "an erica disc", "class_prompt": "a disc"}
        return SubjectDataModule(folder, **prompts, class_count=3, **arguments)
    if any(isinstance(each, LearnedWords) for each in module.learns):
        arguments["trigger"] = "<disc>"
    return StyleDataModule(folder, **arguments)
