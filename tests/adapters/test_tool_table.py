"""Every row of the table in docs/adapters.md, tried."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.conversion import convert_adapters
from sdtune.adapters.inspection import inspect_adapter
from sdtune.adapters.keys_values import CrossAttentionAdapter, add_tuned_projections
from sdtune.adapters.lora import LoRAAdapter, add_lora
from sdtune.adapters.lora_tools import extract_lora, merge_loras, resize_lora
from sdtune.adapters.merging import merge_adapters
from sdtune.adapters.whole_model import merge_into_base, write_whole_model
from sdtune.adapters.whole_unet import TunedUNet
from sdtune.adapters.words import TokenEmbeddingAdapter, add_token_embedding
from sdtune.models import StableDiffusion, load

DOCS = Path(__file__).parents[2] / "docs" / "adapters.md"
FORMATS = ("diffusers", "kohya", "peft")
TOOLS = ("inspect", "convert to", "merge", "merge --into_base", "resize", "extract")
KINDS = (
    "LoRA",
    "LoRA with learned words",
    "DoRA",
    "LoHa",
    "LoKr",
    "learned words",
    "words with keys and values",
    "whole UNet",
)


def _rows() -> dict[str, dict[str, str]]:
    lines = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert tuple(cells[0][1:]) == TOOLS
    return {row[0]: dict(zip(TOOLS, row[1:], strict=True)) for row in cells[2:]}


@torch.no_grad()
def _save(micro: Path, kind: str, folder: Path, word: str = "<erica>") -> Path:
    model = load(micro)
    if "words" in kind:
        add_token_embedding(model, word, "c")
    if "keys" in kind:
        add_tuned_projections(model)
    elif kind == "whole UNet":
        model.unet.requires_grad_(True)
    elif kind != "learned words":
        is_product = kind in ("LoHa", "LoKr")
        add_lora(
            model,
            rank=2,
            alpha=1.5,
            text_encoder=True,
            use_dora=kind == "DoRA",
            adapter_type=kind.lower() if is_product else "lora",
        )
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    words = [TokenEmbeddingAdapter.from_model(model)] if "words" in kind else []
    AdapterSet(*words, *_others(model, kind)).save(folder)
    return folder


def _others(model: StableDiffusion, kind: str) -> list:
    if kind == "learned words":
        return []
    makers = {"words with keys and values": CrossAttentionAdapter, "whole UNet": TunedUNet}
    return [makers.get(kind, LoRAAdapter).from_model(model)]


def _works(action: Callable[[], object]) -> bool:
    """Tell whether something is done, or refused in a sentence."""
    try:
        action()
    except ValueError as error:
        if not str(error).startswith("Expected"):
            raise
        return False
    return True


def _yes(action: Callable[[], object]) -> str:
    return "yes" if _works(action) else "no"


def _saved(result: tuple, folder: Path) -> None:
    adapters, model, *_ = result
    adapters.verify(adapters.save(folder), model)


def test_the_table_has_all_kinds() -> None:
    assert tuple(_rows()) == KINDS


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_cell_of_a_row(kind: str, micro_sd: Path, tmp_path: Path) -> None:
    path = _save(micro_sd, kind, tmp_path / "in")
    found = {"inspect": "yes" if inspect_adapter(path) else "no"}
    convert = partial(convert_adapters, path, base=micro_sd)
    converted = [to for to in FORMATS if _works(partial(convert, to, tmp_path / to))]
    found["convert to"] = ", ".join(converted) or "no"
    merge: partial[tuple] = partial(merge_loras, micro_sd, [path], [0.5])
    if kind == "words with keys and values":
        other = _save(micro_sd, kind, tmp_path / "other", "<ben>")
        merge = partial(merge_adapters, micro_sd, [path, other], ["a", "b"])
    found["merge"] = _yes(lambda: _saved(merge(), tmp_path / "merged"))
    found["merge --into_base"] = _into_base(path, micro_sd, tmp_path)
    found["resize"] = _yes(lambda: _saved(resize_lora(micro_sd, path, 1), tmp_path / "small"))
    found["extract"] = _yes(lambda: _saved(extract_lora(micro_sd, path, 1), tmp_path / "out"))
    assert found == _rows()[kind]


def _into_base(path: Path, micro: Path, folder: Path) -> str:
    merged: list[StableDiffusion] = []
    if not _works(lambda: merged.append(merge_into_base(micro, [path]))):
        return "no"
    write_whole_model(copy.deepcopy(merged[0]), micro, folder / "whole")
    is_file = _works(lambda: write_whole_model(merged[0], micro, folder / "one.safetensors"))
    return "yes" if is_file else "a folder"
