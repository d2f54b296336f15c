"""What a file of an adapter says of itself, without a model and without trusting it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor

from sdtune._wording import counted
from sdtune.adapters import registry
from sdtune.adapters.layer_names import (
    LayerGroup,
    folded,
    is_of_module,
    layers,
    width_attended,
)
from sdtune.adapters.lora.dimensions import check_dimensions
from sdtune.adapters.lora.peft_config import CONFIG_KEY, CONFIG_NAME, header_configs, read_config
from sdtune.adapters.pipeline import find_adapter_files
from sdtune.files import tensor_file
from sdtune.models.single_file import SUFFIXES, find_single_file

__all__ = ["InspectedFile", "file_hashes", "inspect_adapter"]

_PEFT = re.compile(r"^base_model\.model\.")

# width of what the UNet attends to -> family, where nothing is written
_WIDTHS = {
    768: "Stable Diffusion 1",
    1024: "Stable Diffusion 2",
    2048: "Stable Diffusion XL",
}
_VERSIONS = {
    "sd_v1": "Stable Diffusion 1",
    "sd_v2": "Stable Diffusion 2",
    "sdxl": "Stable Diffusion XL",
    "stable-diffusion-v1": "Stable Diffusion 1",
    "stable-diffusion-v2": "Stable Diffusion 2",
    "stable-diffusion-xl": "Stable Diffusion XL",
    "flux": "Flux",
    "stable-diffusion-3": "Stable Diffusion 3",
}

# strings of the header that are long tables, or said elsewhere
_NO_RECORD = frozenset({CONFIG_KEY, "ss_tag_frequency", "ss_bucket_info", "ss_dataset_dirs"})

_WHOLE_MODEL = 2**30  # bytes: no adapter but a whole UNet is as large


@dataclass(frozen=True)
class InspectedFile:
    """What is known of a file.

    Attributes:
        path: The file, or the folder of PEFT's layout.
        kind: What it holds, as `Adapter.kind`; empty if it is no adapter that is known.
        layout: Name of its format.
        family: For which base it is, as far as it shows.
        tensors: How many there are.
        dtypes: Their types.
        layers: Its modules.
        words: What to write into a prompt.
        record: The header's strings, tables left out.
        hashes: Name of a hash -> its value in hexadecimal.
        notes: What a reader should know, a sentence each.
        is_damaged: Whether it cannot be read, or not all of it; the first of the notes says why.
    """

    path: str
    kind: str
    layout: str
    family: str
    tensors: int
    dtypes: list[str]
    layers: list[LayerGroup]
    words: list[str]
    record: dict[str, str]
    hashes: dict[str, str]
    notes: list[str] = field(default_factory=list)
    is_damaged: bool = False


def inspect_adapter(path: str | Path) -> list[InspectedFile]:
    """Say what there is to know of an adapter.

    Args:
        path: As in `find_adapter_files`; or any safetensors file.

    Returns:
        One for each of its files, words first.

    Raises:
        FileNotFoundError: If there is no such adapter.
        ValueError: If it is a whole model in diffusers' layout.
    """
    if Path(path, "model_index.json").is_file():
        raise ValueError(
            f"Expected an adapter at {path}, but it is a whole model in diffusers' layout: give it "
            "as a base."
        )
    return [_inspect(each) for each in find_adapter_files(path)]


def _inspect(path: Path) -> InspectedFile:
    files = sorted(path.rglob("*.safetensors")) if path.is_dir() else [path]
    headers = {each: tensor_file.read_header(each) for each in files}
    shapes = {
        _full_name(each, path, name): shape
        for each, header in headers.items()
        for name, shape in header.shapes.items()
    }
    form = registry.find_format(path)
    metadata = dict(form.metadata(path)) if form else dict(headers[files[0]].metadata)
    is_small = sum(each.stat().st_size for each in files) < _WHOLE_MODEL
    is_readable = bool(shapes) and (form is not None or is_small)
    tensors, notes = _read(path, files, is_readable=is_readable)
    configs, damage = _configs(path, metadata)
    notes += damage
    words: list[str] = []
    if not notes:
        words = [each.placeholder_token for each in registry.read_words([path])]
    modules = layers(shapes, _alphas(tensors), configs)
    hashes = file_hashes(files[0]) if len(files) == 1 else {}
    return InspectedFile(
        path=str(path),
        kind=form.adapter_type.kind if form else "",
        layout=form.name if form else "",
        family=_family(shapes, metadata),
        tensors=len(shapes),
        dtypes=sorted({str(each.dtype).removeprefix("torch.") for each in tensors.values()}),
        layers=folded(modules),
        words=words or _trigger_words(metadata),
        record={key: each for key, each in metadata.items() if _is_record(key)},
        hashes=hashes,
        notes=[*notes, *_notes(path, shapes, metadata, hashes, has_format=form is not None)],
        is_damaged=bool(notes) or not shapes,
    )


def _read(
    path: Path, files: Iterable[Path], *, is_readable: bool
) -> tuple[dict[str, Tensor], list[str]]:
    """Read all tensors, to see that they can be used; or say why they cannot."""
    tensors: dict[str, Tensor] = {}
    try:
        for each in files if is_readable else ():
            read = tensor_file.read_tensors(each)
            tensors |= {_full_name(each, path, name): tensor for name, tensor in read.items()}
        check_dimensions({name: tuple(each.shape) for name, each in tensors.items()}, path)
    except ValueError as error:
        return {}, [str(error)]
    return tensors, []


def _full_name(file: Path, path: Path, name: str) -> str:
    """Name a tensor of PEFT's folder by its part too."""
    if file == path or not _PEFT.match(name):
        return name
    part = file.parent.name if file.parent != path else ""
    if part not in ("unet", "text_encoder", "text_encoder_2"):
        part = "unet" if "_blocks." in name or "mid_block." in name else "text_encoder"
    return f"{part}.{_PEFT.sub('', name)}"


def _alphas(tensors: Mapping[str, Tensor]) -> dict[str, float]:
    """Take the alphas that are tensors: module -> value."""
    return {
        name.removesuffix(".alpha"): float(tensor.float().mean())
        for name, tensor in tensors.items()
        if name.endswith(".alpha")
    }


def _configs(
    path: Path, metadata: Mapping[str, str]
) -> tuple[dict[str, Mapping[str, Any]], list[str]]:
    """Read the configurations that say alpha: part -> configuration; or say what is wrong."""
    found: dict[str, Mapping[str, Any]] = {}
    try:
        found |= header_configs(metadata, path)
        for file in (path / CONFIG_NAME, *path.glob(f"*/{CONFIG_NAME}")) if path.is_dir() else ():
            if file.is_file():
                part = file.parent.name if file.parent != path else "unet"
                found[part] = read_config(file.parent)
    except ValueError as error:
        return {}, [str(error)]
    return found, []


def _family(shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str]) -> str:
    told = metadata.get("modelspec.architecture") or metadata.get("ss_base_model_version") or ""
    for start, family in _VERSIONS.items():
        if told.lower().startswith(start):
            is_v = told.endswith(("_v", "-v"))
            return f"{family} (v-prediction)" if is_v else family
    if any("double_blocks" in name for name in shapes):
        return "Flux"
    if any("joint_blocks" in name or "context_embedder" in name for name in shapes):
        return "Stable Diffusion 3"
    width = width_attended(shapes)
    if width is not None:
        return _WIDTHS.get(width, f"a base whose UNet attends to a width of {width}")
    widths = {shape[-1] for shape in shapes.values() if shape}
    word = next(iter(widths)) if len(shapes) == len(widths) == 1 else 0
    return _WIDTHS.get(word, "not shown")


def _trigger_words(metadata: Mapping[str, str]) -> list[str]:
    phrase = metadata.get("modelspec.trigger_phrase", "")
    if phrase:
        return [phrase]
    token = metadata.get("sdtune.placeholder_token", "")
    if token and token != "None":
        return [token]
    try:
        tables: Any = json.loads(metadata.get("ss_tag_frequency", "{}"))
        tags: dict[str, int] = {}
        for table in tables.values():
            for tag, count in table.items():
                tags[tag.strip()] = tags.get(tag.strip(), 0) + int(count)
    except (ValueError, AttributeError, TypeError):
        return []
    most = max(tags.values(), default=0)
    # what stands in every caption
    return sorted(tag for tag, count in tags.items() if tag and count == most)[:5] if most else []


def _is_record(key: str) -> bool:
    return key not in _NO_RECORD and key not in tensor_file.RESERVED


def file_hashes(path: Path) -> dict[str, str]:
    """Hash a file as model sites do, and its tensors as kohya does.

    Args:
        path: A file.

    Returns:
        `sha256`, `AutoV2`, and of a safetensors file `sshs_model_hash`, in hexadecimal.
    """
    whole, tensors = sha256(), sha256()
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        file.seek(0)
        position = 0
        while block := file.read(1 << 20):
            whole.update(block)
            tensors.update(block[max(0, start - position) :])
            position += len(block)
    found = {"sha256": whole.hexdigest(), "AutoV2": whole.hexdigest()[:10].upper()}
    if path.suffix == ".safetensors" and start <= position:  # else the header is beyond the end
        found["sshs_model_hash"] = tensors.hexdigest()
    return found


def _notes(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    metadata: Mapping[str, str],
    hashes: Mapping[str, str],
    *,
    has_format: bool,
) -> Iterator[str]:
    if not shapes:
        yield "It is neither a safetensors file nor a pickle of tensors alone."
    if not has_format:
        yield f"It is no adapter in a layout that sdtune reads. {_as_base(path)}".rstrip()
    told = metadata.get("sshs_model_hash")
    if told and told != hashes.get("sshs_model_hash", told):
        yield "Its tensors are not those that its header's sshs_model_hash is of: it was changed."
    if any("dora_scale" in name or "magnitude" in name for name in shapes):
        yield "It is a DoRA: magnitudes are apart from directions."
    unknown = [name for name in shapes if not is_of_module(name)]
    if unknown and len(unknown) < len(shapes):
        are = counted(len(unknown), "tensor is", "tensors are")
        yield f"{are} of no module of a LoRA, such as `{unknown[0]}`."


def _as_base(path: Path) -> str:
    """Say what a file is if it is a whole model."""
    if path.suffix not in SUFFIXES:
        return ""
    try:
        found = find_single_file(path)
    except ValueError as error:
        return str(error)
    return f"It is a whole model, {found.family.name}: give it as a base."
