"""Several adapters in one model, each of a strength that is changed without loading anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

import torch
from torch import Tensor, nn

from sdtune.adapters import registry
from sdtune.adapters.lora.format import LoRAFormat
from sdtune.adapters.lora.layers import ADAPTER_NAME, lora_layers, tunable_parts
from sdtune.adapters.lora.placement import place_updates
from sdtune.adapters.lora.reading import Updates
from sdtune.adapters.lora.updates import AdapterType
from sdtune.adapters.verification import frozen_copy
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["PlacedAdapters"]

_Strengthen = Callable[[float], None]


class PlacedAdapters:
    """A base with adapters beside each other, in a model of its own that shares the base's weights.

    At strength 1 an adapter does what it did while it was trained, to the last bit if it is alone;
    at 0 it does nothing, to the last bit. In between a LoRA's change is multiplied, and weights
    that were tuned in full (keys and values, a whole UNet) are mixed with the base's. The changes
    of several, each that of the base's own weights, are added, whatever their order. Learned words
    are either there or not.

    Args:
        base: A bundle without adapters; it is left as it is.
        adapters: The files of each, as `find_adapter_files` finds them.

    Attributes:
        model: The bundle with all of them, at strength 1.

    Raises:
        ValueError: If one is for another kind of base, or a word is in two of them.
    """

    def __init__(self, base: StableDiffusion, adapters: Sequence[Sequence[Path]]) -> None:
        self.model = frozen_copy(base)
        self._paths = [files[-1] for files in adapters]
        self._mixed = _MixedWeights(base, self.model)
        self._places: list[list[_Strengthen]] = [[] for _ in adapters]
        loras: list[tuple[int, Updates]] = []
        for number, files in enumerate(adapters):
            for path in files:
                registry.load_words(self.model, path)
                form = registry.recognise(path)
                if isinstance(form, LoRAFormat):
                    parts = tunable_parts(base)
                    loras.append((number, form.read(path, parts, base=str(base.source))))
                elif not form.adapter_type.loads_first:
                    tuned = frozen_copy(base)
                    form.load(tuned, path)
                    self._places[number].append(self._mixed.add(tuned, path))
        self._is_alone = sum(map(len, self._places)) + len(loras) == 1
        # LoRAs wrap the modules of others, so that these were looked up before
        loras.sort(key=lambda each: _order(each[1]))
        for count, (number, updates) in enumerate(loras):
            name = f"adapter_{count}" if count else ADAPTER_NAME
            self._places[number] += self._place(base, updates, name)
        self.set_strengths([1.0] * len(adapters))

    def set_strengths(self, strengths: Sequence[float]) -> None:
        """Change how strong the adapters are.

        Args:
            strengths: One for each, in their order; finite. Those below 0 turn a change around.

        Raises:
            ValueError: If there are more or fewer, or one is not possible.
        """
        if len(strengths) != len(self._places) or not all(map(math.isfinite, strengths)):
            raise ValueError(
                f"Expected a finite strength for each of {len(self._places)} adapters, but got "
                f"{list(strengths)}."
            )
        for path, places, strength in zip(self._paths, self._places, strengths, strict=True):
            if not places and strength != 1.0:
                raise ValueError(
                    f"Expected the strength of {path} to be 1, but got {strength:g}: learned words "
                    "are either in the prompt or not."
                )
        for places, strength in zip(self._places, strengths, strict=True):
            for strengthen in places:
                strengthen(strength)
        self._mixed.mix()

    def _place(self, base: StableDiffusion, updates: Updates, name: str) -> list[_Strengthen]:
        layers = place_updates(tunable_parts(self.model), updates, name=name)
        names = {layer: module for module, layer in lora_layers(self.model).items()}
        strengths: list[_Strengthen] = []
        for layer in layers:
            own = base.get_submodule(names[layer].replace(".base_layer", ""))
            strengths.append(_LoRAStrength(layer, name, None if self._is_alone else own).set)
        return strengths


def _order(updates: Updates) -> tuple[int, bool]:
    """Sort by what can be in which: a LoRA's layer wraps a frozen one, a LoHa's or LoKr's any.

    DoRAs are the first, for which the casts of a layer's input are PEFT's.
    """
    every = [each for modules in updates.values() for each in modules.values()]
    kinds: tuple[AdapterType, ...] = get_args(AdapterType)
    is_dora = any("magnitude" in each.tensors for each in every)
    return kinds.index(every[0].adapter_type), not is_dora


class _LoRAStrength:
    """The strength of one adapter in one of PEFT's layers.

    Args:
        layer: PEFT's layer.
        name: What the adapter is called in it.
        own: The base's own layer, if other adapters change what this one gives.
    """

    def __init__(self, layer: Any, name: str, own: nn.Module | None) -> None:
        self._layer = layer
        self._name = name
        self._own = own
        self._scaling = float(layer.scaling[name])
        self._strength = 1.0
        magnitudes: Mapping[str, nn.Module] = getattr(layer, "lora_magnitude_vector", {})
        self._is_dora = name in magnitudes
        if self._is_dora:  # what it adds is not linear in alpha
            magnitudes[name].register_forward_hook(self._multiplied)
            if own is not None:
                magnitudes[name].register_forward_pre_hook(self._of_the_base, with_kwargs=True)

    def set(self, strength: float) -> None:
        self._strength = strength
        names = list(self._layer.scaling)
        # PEFT makes all layers hold the name of the last that it placed in any
        active = {each for each in self._layer.active_adapters if each != self._name}
        active |= {self._name} if strength else set()
        self._layer.set_adapter([each for each in names if each in active])
        cast(nn.Module, self._layer).requires_grad_(False)
        if not self._is_dora:
            self._layer.scaling[self._name] = strength * self._scaling

    def _of_the_base(
        self, module: nn.Module, inputs: tuple[Tensor], options: dict[str, Any]
    ) -> tuple[tuple[Tensor], dict[str, Any]]:
        """Let a DoRA scale what the base's layer gives, without the changes by others."""
        own: Any = self._own
        result = own(inputs[0].to(own.weight.dtype))
        return inputs, {**options, "base_layer": own, "base_result": result}

    def _multiplied(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
        return None if self._strength == 1.0 else self._strength * output


class _MixedWeights:
    """Weights that adapters give other values, between the base's and theirs."""

    def __init__(self, base: StableDiffusion, model: StableDiffusion) -> None:
        self._base = dict(base.named_parameters())
        # the objects stay where they are when a LoRA wraps their modules
        self._parameters = dict(model.named_parameters())
        self._tuned: list[Mapping[str, Tensor]] = []
        self._strengths: list[float] = []
        self._mixed_for: list[float] = []

    def add(self, tuned: StableDiffusion, path: Path) -> _Strengthen:
        """Take what differs from the base; the weights of a kind that adds modules cannot be."""
        found = dict(tuned.named_parameters())
        if found.keys() != self._base.keys():
            raise ValueError(
                f"Expected {path} to be of a kind that is drawn with beside others, but it adds "
                "modules of its own: use `sdtune.load_pipeline`."
            )
        self._tuned.append(
            {
                name: weight.detach()
                for name, weight in found.items()
                if weight.data_ptr() != self._base[name].data_ptr()
            }
        )
        self._strengths.append(1.0)
        number = len(self._strengths) - 1

        def strengthen(strength: float) -> None:
            self._strengths[number] = strength

        return strengthen

    @torch.no_grad()
    def mix(self) -> None:
        """Give the weights the values that the strengths ask for."""
        if self._strengths == self._mixed_for:
            return
        self._mixed_for = list(self._strengths)
        for name in dict.fromkeys(name for each in self._tuned for name in each):
            own = self._base[name].detach()
            changes = [
                (strength, tuned[name])
                for strength, tuned in zip(self._strengths, self._tuned, strict=True)
                if strength and name in tuned
            ]
            if not changes:
                mixed = own
            elif len(changes) == 1 and changes[0][0] == 1.0:
                mixed = changes[0][1]
            else:
                mixed = own.float()
                for strength, weight in changes:
                    mixed = mixed + strength * (weight.float() - own.float())
                mixed = mixed.to(own.dtype)
            self._parameters[name].data = mixed
