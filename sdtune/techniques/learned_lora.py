"""A LoRA as what learns, in the UNet and perhaps in the text encoders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

from sdtune._checks import ArgumentsError
from sdtune.adapters import registry
from sdtune.adapters.adapter import Adapter
from sdtune.adapters.lora import (
    LoRAAdapter,
    LoRASettings,
    add_lora,
    lora_layers,
    lora_parameters,
    tunable_parts,
    without_adapter,
)
from sdtune.adapters.lora.format import LoRAFormat
from sdtune.adapters.lora.layers import remove_lora
from sdtune.adapters.lora.placement import place_updates
from sdtune.adapters.lora.reading import Updates
from sdtune.adapters.lora.target_modules import target_problems
from sdtune.models import StableDiffusion
from sdtune.techniques.learned import Learned, LearnedGroup

__all__ = ["LearnedLoRA"]


class LearnedLoRA(Learned):
    """Low-rank matrices beside frozen layers (Hu et al. 2021).

    Args:
        settings: How large it is and where it goes.
        text_encoder: Whether the text encoders have one too, at `text_encoder_learning_rate`.
    """

    def __init__(self, settings: LoRASettings, text_encoder: bool = False) -> None:
        self.settings = settings
        self.text_encoder = text_encoder

    def add_to(self, model: StableDiffusion, *, seed: int, clip_skip: int) -> None:
        """Add fresh matrices to the UNet and, if they learn, to the text encoders."""
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
        fresh = {name: set(lora_layers(part)) for name, part in parts.items()}
        for part in parts.values():
            remove_lora(part)
        updates = form.read(path, parts, base=str(model.source), unfolded=True)
        problems = [*_contradictions(updates, fresh, stated), *self._other_parts(updates)]
        if problems:
            raise ArgumentsError([f"Expected {each}, as {path} has it." for each in problems])
        place_updates(parts, updates, self.settings.dropout)
        return {LoRAAdapter}

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

    def _other_parts(self, updates: Updates) -> list[str]:
        has_text_encoder = any(part != "unet" for part in updates)
        problems = [] if "unet" in updates else ["a technique that does not tune the UNet"]
        if has_text_encoder and not self.text_encoder:
            problems.append("`text_encoder_learning_rate` to be a rate, but got null")
        if self.text_encoder and not has_text_encoder:
            problems.append("`text_encoder_learning_rate` to be null, but got a rate")
        return problems

    def groups(self, model: StableDiffusion) -> list[LearnedGroup]:
        """Return the UNet's matrices, and the text encoders'."""
        groups = [LearnedGroup("unet", lora_parameters(model.unet))]
        if self.text_encoder:
            matrices = lora_parameters(model.text_encoders)
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


def _contradictions(
    updates: Updates, fresh: Mapping[str, set[str]], stated: Mapping[str, object]
) -> list[str]:
    """List the arguments that a file contradicts; those left at their defaults are the file's."""
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
        f"`{name}` to be {value:g}, but got {stated[name]}"
        if isinstance(value, float)
        else f"`{name}` to be {value}, but got {stated[name]}"
        for name, value in found.items()
        if name in stated and stated[name] is not None and stated[name] != value
    ]
    others = [part for part, modules in updates.items() if fresh.get(part) != modules.keys()]
    if "target_modules" in stated and others:
        problems.append(
            f"`target_modules` to be left out, or to name the {len(updates[others[0]])} modules of "
            f"the {others[0]}, but got {stated['target_modules']}"
        )
    return problems
