"""The tensors of a LoRA's file, module by module: how each is named, and what belongs together."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

__all__ = ["AdapterType", "ModuleUpdate", "split_key", "update_of"]

AdapterType = Literal["lora", "loha", "lokr"]

_KINDS = {
    "lora_A": r"lora_A(?:\.default)?\.weight|lora_linear_layer\.down\.weight|lora[._]down\.weight",
    "lora_B": r"lora_B(?:\.default)?\.weight|lora_linear_layer\.up\.weight|lora[._]up\.weight",
    "bias": r"lora_B(?:\.default)?\.bias|lora_linear_layer\.up\.bias|lora[._]up\.bias",
    "dora_scale": r"dora_scale",
    "magnitude": r"lora_magnitude_vector(?:\.default)?(?:\.weight)?",
    "lora_mid": r"lora_mid\.weight",
    "alpha": r"alpha",
}
_LYCORIS = r"(hada_w[12]_[ab]|hada_t[12]|lokr_w[12](?:_[ab])?|lokr_t2)(?:\.default)?"
_KEY = re.compile(
    r"(?P<module>.+?)[._](?:"
    + "|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _KINDS.items())
    + f"|(?P<lycoris>{_LYCORIS}))"
)
_NEEDED: dict[AdapterType, tuple[str, ...]] = {
    "lora": ("lora_A", "lora_B"),
    "loha": ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"),
    "lokr": (),
}


@dataclass(frozen=True)
class ModuleUpdate:
    """What one module's weight W changes by.

    With `lora` that is `alpha / rank * lora_B @ lora_A`, with `loha` the product, element by
    element, of two such, with `lokr` the Kronecker product of two matrices, which may again be
    products.

    Attributes:
        adapter_type: Which of these.
        tensors: By PEFT's names: `lora_A` (r, in[, k, k]), `lora_B` (out, r[, 1, 1]), `bias` (out,)
            of the latter and `magnitude` (out,) of a DoRA; or `hada_*`; or `lokr_*`.
        rank: r.
        alpha: The update is scaled by alpha / rank.
        kernel: Numbers in the kernel of a convolution; 1 of a linear layer.
    """

    adapter_type: AdapterType
    tensors: Mapping[str, Tensor] = field(repr=False)
    rank: int
    alpha: float
    kernel: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Rows of W, and numbers in each, as these tensors make them."""
        t = self.tensors
        if self.adapter_type == "lora":
            return t["lora_B"].shape[0], t["lora_A"][0].numel()
        if self.adapter_type == "loha":
            if "hada_t1" in t:
                rows, columns = t["hada_w1_a"].shape[1], t["hada_w1_b"].shape[1]
                return rows, columns * t["hada_t1"][0, 0].numel()
            return t["hada_w1_a"].shape[0], t["hada_w1_b"].shape[1]
        first = t["lokr_w1"].shape if "lokr_w1" in t else _product(t, "lokr_w1")
        if "lokr_w2" in t:
            second = t["lokr_w2"].shape[0], t["lokr_w2"][0].numel()
        elif "lokr_t2" in t:
            rows, columns = t["lokr_w2_a"].shape[1], t["lokr_w2_b"].shape[1]
            second = rows, columns * t["lokr_t2"][0, 0].numel()
        else:
            second = _product(t, "lokr_w2")
        return first[0] * second[0], first[1] * second[1]


def _product(tensors: Mapping[str, Tensor], name: str) -> tuple[int, int]:
    return tensors[f"{name}_a"].shape[0], tensors[f"{name}_b"].shape[1]


def split_key(key: str) -> tuple[str, str] | None:
    """Take a tensor's name apart.

    Args:
        key: A name in a file of any layout.

    Returns:
        What the module is called there, and which of its tensors it is, as `update_of` names them;
        None if it is no name of an adapter's.
    """
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    module = found["module"].removesuffix("_lora").removesuffix(".lora")
    if found["lycoris"]:
        return module, found["lycoris"].removesuffix(".default")
    return module, next(kind for kind in _KINDS if found[kind])


def update_of(
    tensors: Mapping[str, Tensor], alpha_of: Callable[[int], float | None]
) -> ModuleUpdate:
    """Put the tensors of a module together.

    Args:
        tensors: By the kinds that `split_key` gives; `alpha` is optional.
        alpha_of: Rank -> the alpha that the file has elsewhere for this module, or None; of rank
            0, which matrices in full are, the scale.

    Returns:
        The update, in float32, with a middle convolution (`lora_mid`) worked into the first.

    Raises:
        ValueError: If some belong to another method than others, or one is missing.
    """
    found = {name: tensor.float() for name, tensor in tensors.items()}
    own_alpha = found.pop("alpha", None)
    if "dora_scale" in found:
        found["magnitude"] = _by_outputs(found.pop("dora_scale"))
    if any(name.startswith("hada_") for name in found):
        adapter_type: AdapterType = "loha"
    else:
        adapter_type = "lokr" if any(name.startswith("lokr_") for name in found) else "lora"
    _check_complete(adapter_type, found)
    if "lora_mid" in found:
        middle, down = found.pop("lora_mid"), found["lora_A"].flatten(1)
        found["lora_A"] = torch.einsum("mnkl,ni->mikl", middle, down)
    rank = _rank(adapter_type, found)
    if rank is None:  # both of lokr's matrices in full: LyCORIS' alpha is then without effect
        scale = alpha_of(0)
        return ModuleUpdate(adapter_type, found, 1, 1.0 if scale is None else scale)
    alpha = alpha_of(rank) if own_alpha is None else float(own_alpha)
    return ModuleUpdate(adapter_type, found, rank, float(rank) if alpha is None else alpha)


def _by_outputs(dora_scale: Tensor) -> Tensor:
    if len(dora_scale) != dora_scale.numel():
        raise ValueError(
            "its magnitudes (DoRA) are one for each input, and one for each output is what is read"
        )
    return dora_scale.flatten()


def _check_complete(adapter_type: AdapterType, found: Mapping[str, Tensor]) -> None:
    prefix = {"lora": ("lora_", "bias", "magnitude"), "loha": ("hada_",), "lokr": ("lokr_",)}
    foreign = [name for name in found if not name.startswith(prefix[adapter_type])]
    if foreign:
        raise ValueError(f"its `{foreign[0]}` does not belong to a {adapter_type}")
    needed = _NEEDED[adapter_type]
    if adapter_type == "lokr":
        for number in (1, 2):
            whole = f"lokr_w{number}"
            needed += (whole,) if whole in found else (f"{whole}_a", f"{whole}_b")
    if ("hada_t1" in found) != ("hada_t2" in found):
        needed += ("hada_t1", "hada_t2")
    missing = [name for name in needed if name not in found]
    if missing:
        raise ValueError(f"its `{missing[0]}` is missing")


def _rank(adapter_type: AdapterType, tensors: Mapping[str, Tensor]) -> int | None:
    if adapter_type == "lora":
        return len(tensors["lora_A"])
    if adapter_type == "loha":
        return len(tensors["hada_w1_b"])
    inner = [name for name in ("lokr_w2_b", "lokr_w1_b") if name in tensors]
    return len(tensors[inner[0]]) if inner else None
