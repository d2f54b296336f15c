"""A LoRA as what learns, in the UNet and perhaps in the text encoders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

from torch import nn

from sdtune._checks import ArgumentsError
from sdtune.adapters import registry
from sdtune.adapters.adapter import Adapter
from sdtune.adapters.lora import (
    LoRAAdapter,
    LoRASettings,
    add_lora,
    lora_parameters,
    reached_text_parameters,
    tunable_parts,
    without_adapter,
)
from sdtune.adapters.lora.format import LoRAFormat
from sdtune.adapters.lora.layers import find_targets, remove_lora
from sdtune.adapters.lora.placement import place_updates
from sdtune.adapters.lora.reading import Updates
from sdtune.adapters.lora.target_modules import target_problems
from sdtune.models import StableDiffusion
from sdtune.techniques.learned import Learned, LearnedGroup

__all__ = ["LearnedLoRA"]

_NOT_COMPILED = "DoRA, LoHa and LoKr"
"""PEFT's layers of these branch on what PyTorch knows only when it computes."""


class LearnedLoRA(Learned):
    """Low-rank matrices beside frozen layers (Hu et al. 2021).

    Args:
        settings: How large it is and where it goes.
        text_encoder: Whether the text encoders have one too, at `text_encoder_learning_rate`.
    """

    def __init__(self, settings: LoRASettings, text_encoder: bool = False) -> None:
        self.settings = settings
        self.text_encoder = text_encoder
        self._clip_skip = 1

    def add_to(self, model: StableDiffusion, *, seed: int, clip_skip: int) -> None:
        """Add fresh matrices to the UNet and, if they learn, to the text encoders."""
        self._clip_skip = clip_skip
        add_lora(
            model,
            **asdict(self.settings),
            text_encoder=self.text_encoder,
            clip_skip=clip_skip,
            seed=seed,
        )

    def start_from(
        self, model: StableDiffusion, path: Path, stated: Mapping[str, object]
    ) -> set[type[Adapter]]:
        """Take matrices, rank, alpha and modules from a file, in the place of fresh ones."""
        form = registry.recognise(path)
        if not isinstance(form, LoRAFormat):
            return set()
        parts = tunable_parts(model)
        for part in parts.values():
            remove_lora(part)
        problems = self.starting_problems(path, parts, stated)
        if problems:
            raise ArgumentsError(problems)
        updates = form.read(path, parts, base=str(model.source), unfolded=True)
        place_updates(parts, updates, self.settings.dropout)
        return {LoRAAdapter}

    def starting_problems(
        self, path: Path, parts: Mapping[str, nn.Module], stated: Mapping[str, object]
    ) -> list[str]:
        """Tell which arguments a file contradicts."""
        form = registry.recognise(path)
        if not isinstance(form, LoRAFormat):
            return []
        updates = form.read(path, parts, unfolded=True)
        own = {name: part for name, part in parts.items() if name == "unet" or self.text_encoder}
        ends = find_targets(own, self.settings.target_modules)["unet"]
        names = (name for name, _ in parts["unet"].named_modules())
        tuned = {name for name in names if f".{name}".endswith(tuple(f".{end}" for end in ends))}
        found = [*_contradictions(updates, tuned, stated), *self._other_parts(updates)]
        if stated.get("compile") and not _is_plain(updates):
            found.append(("`compile`", f"false with {_NOT_COMPILED}", True))
        return [
            f"Expected {name} to be {wanted}, as in {path}, but got {given}."
            for name, wanted, given in found
        ]

    def record(self, model: StableDiffusion) -> dict[str, str]:
        """Say rank, alpha and method as the file had them."""
        adapter = LoRAAdapter.from_model(model)
        sizes = {name: each for name, each in adapter.configs.items() if name != "text_encoder_2"}
        record = {
            "sdtune.adapter_type": adapter.adapter_type,
            "sdtune.use_dora": str(adapter.is_dora),
            "sdtune.target_modules": str(sorted(adapter.configs["unet"].target_modules)),
        }
        for part, config in sizes.items():
            prefix = "sdtune." if part == "unet" else "sdtune.text_encoder_"
            alpha = config.lora_alpha if adapter.adapter_type == "lora" else config.alpha
            record |= {f"{prefix}rank": str(config.r), f"{prefix}alpha": str(float(alpha))}
        return record

    def compile_problems(self) -> list[str]:
        """Tell that PyTorch cannot compile PEFT's layers of some kinds."""
        settings = self.settings
        if settings.adapter_type == "lora" and not settings.use_dora:
            return []
        given = "use_dora` true" if settings.use_dora else f"adapter_type` {settings.adapter_type}"
        return [
            f"Expected `model.compile` to be false with {_NOT_COMPILED}, but got `model.{given}."
        ]

    def _other_parts(self, updates: Updates) -> list[tuple[str, object, object]]:
        has_text_encoder = any(part != "unet" for part in updates)
        name = "`text_encoder_learning_rate`"
        problems: list[tuple[str, object, object]] = []
        if "unet" not in updates:
            problems.append(("what learns", "the text encoder alone", "the UNet too"))
        if has_text_encoder and not self.text_encoder:
            problems.append((name, "a rate", "null"))
        if self.text_encoder and not has_text_encoder:
            problems.append((name, "null", "a rate"))
        return problems

    def groups(self, model: StableDiffusion) -> list[LearnedGroup]:
        """Return the UNet's matrices, and those of the text encoders that reach it.

        A file may have others, which stay as they are: no gradient comes to them, and of several
        processes each would wait for it.
        """
        groups = [LearnedGroup("unet", lora_parameters(model.unet))]
        if self.text_encoder:
            matrices = reached_text_parameters(model, self._clip_skip)
            groups.append(LearnedGroup("text_encoder", matrices, "text_encoder_learning_rate"))
        return groups

    def switched_off(self, model: StableDiffusion) -> AbstractContextManager[None]:
        """Use the frozen layers alone."""
        return without_adapter(model)

    def adapters(self, model: StableDiffusion) -> list[Adapter]:
        """Return a copy of the matrices, on the CPU."""
        return [LoRAAdapter.from_model(model)]

    @property
    def drops_inputs(self) -> bool:
        """Whether it has dropout."""
        return self.settings.dropout > 0

    @property
    def drops_inputs_of_prompts(self) -> bool:
        """Whether it has dropout in the text encoders."""
        return self.drops_inputs and self.text_encoder

    @property
    def encodes_prompts_every_step(self) -> bool:
        """Whether the text encoders learn."""
        return self.text_encoder

    def check(self, base: str) -> None:
        """Check the settings."""
        self.settings.check()

    def problems(self, base: str) -> list[str]:
        """Tell which modules it names are not in the base."""
        return target_problems(base, self.settings.target_modules, text_encoder=self.text_encoder)


def _is_plain(updates: Updates) -> bool:
    every = [each for modules in updates.values() for each in modules.values()]
    return all(each.adapter_type == "lora" and "magnitude" not in each.tensors for each in every)


def _contradictions(
    updates: Updates, tuned: set[str], stated: Mapping[str, object]
) -> list[tuple[str, object, object]]:
    """List arguments that a file contradicts, as name, value there and value here.

    Those left at their defaults are the file's.
    """
    found: dict[str, object] = {}
    for part, modules in updates.items():
        prefix = "" if part == "unet" else "text_encoder_"
        for name in ("rank", "alpha"):
            values = Counter(getattr(each, name) for each in modules.values())
            found.setdefault(f"{prefix}{name}", values.most_common(1)[0][0])
    every = [each for modules in updates.values() for each in modules.values()]
    found["adapter_type"] = every[0].adapter_type
    found["use_dora"] = "magnitude" in every[0].tensors
    problems = [
        (f"`{name}`", value, stated[name])
        for name, value in found.items()
        if stated.get(name) is not None and stated[name] != value
    ]
    modules = updates.get("unet", {})
    if "target_modules" in stated and tuned != modules.keys():
        wanted = f"left out, or to name the {len(modules)} modules"
        problems.append(("`target_modules`", wanted, stated["target_modules"]))
    return problems
