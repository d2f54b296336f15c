"""LoRA files in kohya's layout, which A1111 and ComfyUI read; LyCORIS' products too.

A key is a prefix for the part, the module's name with "_" for ".", and `lora_down.weight`,
`lora_up.weight` or `alpha`; the update is alpha / r * up @ down, and a missing alpha is r. The UNet
of Stable Diffusion XL is named as in its first code, others as in diffusers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from sdtune.adapters.lora.adapter import LoRAAdapter
from sdtune.adapters.lora.format import LoRAFormat
from sdtune.adapters.lora.kohya_header import HASH_KEYS, OUTPUT_NAME, kohya_header
from sdtune.adapters.lora.names import with_text_level
from sdtune.adapters.lora.reading import Updates, read_updates
from sdtune.adapters.lora.updates import ModuleUpdate
from sdtune.adapters.usage import Program, Use
from sdtune.adapters.words.adapter import TokenEmbeddingAdapter
from sdtune.adapters.words.loading import BUNDLE, bundled_words, load_word
from sdtune.files import tensor_file
from sdtune.files.confined_path import confined_name
from sdtune.files.tensor_file import TensorHeader
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["KohyaFormat"]

_PREFIXES = ("lora_unet_", "lora_te_", "lora_te1_", "lora_te2_", "lycoris_")
_NAMES = {"lora_A": "lora_down.weight", "lora_B": "lora_up.weight"}


class KohyaFormat(LoRAFormat):
    """A file named by the run; a DoRA has no layout that all of these programs read alike."""

    name = "kohya"
    file_name = "kohya_lora.safetensors"
    made_for = ("A1111", "ComfyUI")
    own_keys = HASH_KEYS  # of the tensors of one file, which are others in another

    def recognises(self, path: Path, header: TensorHeader) -> bool:
        """Tell whether names are kohya's."""
        return any(name.startswith(_PREFIXES) for name in header.shapes)

    def path_in(self, folder: Path, metadata: Mapping[str, str]) -> Path:
        """Take the run's name, which is what is written into a prompt.

        A converted file's is whatever its header says, so that it is one name in this folder.
        """
        name = confined_name(metadata.get(OUTPUT_NAME, ""))
        return folder / (f"{name}.safetensors" if name else self.file_name)

    def find(self, folder: Path) -> Path | None:
        """Find a file by its default name, or else the only one of this layout."""
        found = super().find(folder)
        if found is not None or not folder.is_dir():
            return found
        files = sorted(folder.glob("*.safetensors"))
        ours = [each for each in files if self.recognises(each, tensor_file.read_header(each))]
        return ours[0] if len(ours) == 1 else None

    def holds(self, adapter: LoRAAdapter) -> bool:
        """Tell whether it is no DoRA and has no biases."""
        keys = [key for tensors in adapter.weights.values() for key in tensors]
        return not adapter.is_dora and not any(key.endswith(".bias") for key in keys)

    def write(self, adapter: LoRAAdapter, path: Path, metadata: Mapping[str, str]) -> None:
        """Write an adapter, with kohya's and ModelSpec's strings beside the metadata."""
        prefixes = {"unet": "lora_unet_", "text_encoder": "lora_te_", "text_encoder_2": "lora_te2_"}
        if adapter.base.is_xl:
            prefixes["text_encoder"] = "lora_te1_"
        tensors: dict[str, Tensor] = {}
        for part in adapter.weights:
            for module, update in adapter.updates(part).items():
                name = prefixes[part] + _known(adapter, part, module).replace(".", "_")
                tensors |= {f"{name}.{key}": each for key, each in _tensors(update).items()}
        tensor_file.write(path, tensors, kohya_header(adapter, tensors, metadata))

    def use(self, program: Program, path: Path, name: str) -> Use:
        """Say how the file is used in another program; diffusers reads no LoHa or LoKr."""
        names = tensor_file.read_header(path).shapes
        if program == "diffusers" and any(".hada_" in each or ".lokr_" in each for each in names):
            return Use(note="diffusers reads no LoHa or LoKr; sdtune's `load_pipeline` does.")
        return super().use(program, path, name)

    def read(
        self,
        path: Path,
        parts: Mapping[str, nn.Module],
        *,
        base: str = "this base",
        unfolded: bool = False,
    ) -> Updates:
        """Read a file: LoRA, DoRA by outputs, LoHa and LoKr, with either naming of the UNet.

        Words that are in the file too are read by `words`.
        """
        tensors = tensor_file.read_tensors(path)
        own = {name: each for name, each in tensors.items() if not name.startswith(BUNDLE)}
        return read_updates(own, parts, path, self.name, base)

    def words(self, path: Path) -> list[TokenEmbeddingAdapter]:
        """Read the words that are in the file too."""
        if not any(name.startswith(BUNDLE) for name in tensor_file.read_header(path).shapes):
            return []
        return bundled_words(tensor_file.read_tensors(path), path)

    def load(self, model: StableDiffusion, path: Path) -> None:
        """Load the words that are in the file, and the LoRA around them."""
        for word in self.words(path):
            load_word(model, word, path)
        super().load(model, path)


def _known(adapter: LoRAAdapter, part: str, module: str) -> str:
    if part == "unet":
        return adapter.original_names[module] if adapter.base.is_xl else module
    # transformers 5.6 dropped a level from the modules' names, which others expect
    return with_text_level(module)


def _tensors(update: ModuleUpdate) -> dict[str, Tensor]:
    tensors = {_NAMES.get(key, key): tensor for key, tensor in update.tensors.items()}
    alpha = update.alpha
    if {"lokr_w1", "lokr_w2"} <= tensors.keys():  # whose alpha readers leave aside
        scaled = tensors["lokr_w2"].float() * (alpha / update.rank)
        tensors["lokr_w2"], alpha = scaled.to(tensors["lokr_w2"].dtype), float(update.rank)
    return tensors | {"alpha": torch.tensor(float(alpha))}
