"""Who reads what, and its page: `python -m tests.adapters.matrix > docs/formats.md`.

test_matrix.py tries every cell.
"""

from __future__ import annotations

import sys

__all__ = ["FILES", "LIMIT", "METHODS", "READERS", "expected", "left_aside", "page"]

LIMIT = 1e-5
"""Largest relative difference of outputs, in float32, that counts as the same."""

READERS = ("sdtune", "diffusers", "ComfyUI", "A1111", "PEFT")
FILES = {
    "diffusers": "`pytorch_lora_weights.safetensors`",
    "kohya": "`<recipe>.safetensors`",
    "PEFT": "`peft/`",
}
METHODS = {
    "lora": "LoRA on attention and feed-forward layers, text encoders too",
    "all": "LoRA on all layers, convolutions too",
    "dora": "DoRA",
    "loha": "LoHa",
    "lokr": "LoKr",
}

_READ_BY = {
    "diffusers": {"sdtune", "diffusers", "ComfyUI"},
    "kohya": {"sdtune", "diffusers", "ComfyUI", "A1111"},
    "PEFT": {"sdtune", "PEFT"},
}
_WRITTEN = {
    "lora": ("diffusers", "kohya", "PEFT"),
    "all": ("diffusers", "kohya", "PEFT"),
    "dora": ("diffusers", "PEFT"),
    "loha": ("kohya", "PEFT"),
    "lokr": ("kohya", "PEFT"),
}
# what those programs leave aside
_EXCEPT = {
    ("dora", "diffusers"): {"ComfyUI"},
    ("loha", "kohya"): {"diffusers"},
    ("lokr", "kohya"): {"diffusers"},
}


def expected(method: str, file: str) -> set[str] | None:
    """Say which readers get from a file what was trained; None if there is no such file."""
    if file not in _WRITTEN[method]:
        return None
    return _READ_BY[file] - left_aside(method, file)


def left_aside(method: str, file: str) -> set[str]:
    """Say which readers of such files refuse one because of its method."""
    return _EXCEPT.get((method, file), set())


def page() -> str:
    """Write the page."""
    lines = [_HEAD]
    for file, name in FILES.items():
        lines += [f"\n### {name}\n", f"| | {' | '.join(READERS)} |", "|---" * 6 + "|"]
        for method, title in METHODS.items():
            readers = expected(method, file)
            if readers is None:
                cells = ["no file"] + [""] * (len(READERS) - 1)
            else:
                cells = ["same" if each in readers else "not read" for each in READERS]
            lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + _TAIL


_HEAD = f"""\
# Files of adapters

A run writes each adapter, at every checkpoint, in all formats that can hold it, loads each file
back and compares. `module.adapter().save(folder)` writes the same.

## Who reads what

Every cell is tried by a test, with random weights of Stable Diffusion 1's modules, and every reader
of every file with those of 2 and XL too: “same” is a relative difference of the UNet's and the text
encoders' outputs of at most {LIMIT:g} in float32 (the largest seen was 8e-7 and 3e-7), with alpha /
rank no power of two. sdtune, diffusers and PEFT are those installed; ComfyUI and A1111 are their
rules, written apart in tests/adapters/readers.py, which refuse a file if one tensor of it would be
left aside. This page is made by `python -m tests.adapters.matrix`."""

_READ = {
    "diffusers' files of all ages, also without `unet.`, also `.bin`": (
        "Flux, Stable Diffusion 3 and other families"
    ),
    "kohya's `.safetensors` and `.pt`: LoRA, LoCon with `lora_mid`, DoRA by outputs, LoHa, LoKr": (
        "DoRA by inputs; several methods in one file"
    ),
    "the UNet named as in diffusers or as in the first code": (
        "a layer that the base lacks, or of another size"
    ),
    "PEFT's folders: LoRA with DoRA, `lora_bias`, `use_rslora` and patterns; LoHa, LoKr": (
        "biases of the base, `modules_to_save`; PiSSA, OLoRA, CorDA, LoRA-GA and LoftQ, which "
        "change the base; other methods in its configuration (`use_bdlora`, `kasa_config`, …)"
    ),
    "words: diffusers', kohya's (`emb_params`: the word is the file's name), A1111's `.pt` and "
    "`.bin`, `clip_l` with `clip_g`, and those bundled with a LoRA": (
        "words for other text encoders, or in the vocabulary"
    ),
}

_TAIL = f"""
Learned words are one file for each: diffusers, A1111 and ComfyUI read it, for one text encoder
(word: vectors) and for two (`clip_l`, `clip_g`). Keys and values of the cross-attention
(multi-concept without `rank`) are read by diffusers alone. The last lines of a run say for which
programs there is no file.

## What is in the files

- **diffusers.** Most readers of this layout take alpha to be the rank: diffusers before 0.35, and
  ComfyUI. So alpha / rank is worked into the second matrix, and the header's
  `lora_adapter_metadata` says an alpha equal to the rank; `sdtune.lora_alpha` keeps the trained
  one. Going on from this file gives the trained matrices back to the last bit where alpha / rank is
  a power of two (16 / 32), else to one rounding (6e-8). kohya's and PEFT's hold them as they are.
  diffusers 0.32.1 with PEFT 0.14 gets the same from it too, at rank 8 and alpha 3 to 9e-7, a DoRA
  likewise; tests/adapters/test_other_diffusers.py says how to try another release.
- **kohya.** `ss_base_model_version`, `ss_v2`, `ss_output_name`, `ss_clip_skip`,
  `ss_num_train_images`, rank, alpha, rates, `sshs_model_hash`, `sshs_legacy_hash` (of the tensors'
  bytes alone) and ModelSpec's keys. No folder and no path: in an adapter's folder, the file has the
  last part of `ss_output_name`, or is `kohya_lora` where that is no name, or another file's. Stable
  Diffusion XL's UNet is named as in its first code. A LoKr whose two matrices are whole has its
  scale worked in, because readers leave its alpha aside. A DoRA by outputs is read alike by too few
  programs, so none is written.
- **PEFT.** A folder for each part, for `PeftModel.from_pretrained`.

`AdapterCheckpoint(dtype="float16")` halves LoRA files; the last line of a run says by how much
outputs then differ from the trained model's.

## What is read

Whatever is loaded (`load_pipeline`, `sdtune evaluate`, `model.adapter`) is counted: each tensor of
a file has found its place in the model, or the file is refused by one sentence with its path, its
layout, the family that it seems to be for, and the first tensor that did not fit. Numbers that are
not finite, sizes that cannot be multiplied, and values in a configuration that are of the wrong
kind are refused by their names. Pickles are read for their tensors and not run.

| read | refused by name |
|---|---|
{chr(10).join(f"| {read} | {refused} |" for read, refused in _READ.items())}

## Going on from a file

`--model.adapter FILE` starts training from a file of any of these formats. Rank, alpha, modules and
method are the file's; an argument that is not left at its default must agree, or is refused by
name. The record of the run holds the file's hash (`sdtune.adapter_sha256`).
"""

if __name__ == "__main__":
    sys.stdout.write(page())
