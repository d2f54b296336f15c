"""Subjects that were learned apart, put into one adapter without training (Kumari et al. 2023)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sdtune.adapters import registry
from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.keys_values.adapter import CrossAttentionAdapter
from sdtune.adapters.keys_values.layers import (
    TARGET_MODULES,
    add_tuned_projections,
    projection_names,
    tuned_projections,
)
from sdtune.adapters.layer_names import layers
from sdtune.adapters.lora.layers import lora_layers
from sdtune.adapters.pipeline import find_adapter_files, load_pipeline
from sdtune.adapters.words.adapter import TokenEmbeddingAdapter
from sdtune.adapters.writing import put_words
from sdtune.files.folder_tree import files_below
from sdtune.files.tensor_file import read_header
from sdtune.functional import constrained_merge
from sdtune.models import StableDiffusion, load

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

__all__ = ["are_subjects", "merge_adapters"]

# in each, the word and all that follows it are to be read as by its own adapter
_PROMPTS = ("{}", "a {}", "a picture of a {}")

# decides what the texts leave open, and is too small to show where they do not
_RIDGE = 1e-4


@dataclass(frozen=True)
class _Concepts:
    """What one adapter knows: its words, and what its keys and values make of them.

    Attributes:
        words: The words.
        inputs: (S, d) float32 hidden states of the text encoder.
        outputs: Name of a projection in the UNet -> (S, out) float32.
    """

    words: Sequence[TokenEmbeddingAdapter]
    inputs: Tensor
    outputs: Mapping[str, Tensor]


def are_subjects(adapters: Sequence[str | Path]) -> bool:
    """Tell whether adapters are such as `merge_adapters` merges, by the names in their files.

    Args:
        adapters: As `find_adapter_files` finds them.

    Raises:
        FileNotFoundError: If there is no such adapter.
        ValueError: If one is of no known format.
    """
    return all(_is_subject(find_adapter_files(each)) for each in adapters)


def _is_subject(files: Sequence[Path]) -> bool:
    if not registry.read_words(files):
        return False
    kinds = {registry.recognise(each).adapter_type for each in files}
    if CrossAttentionAdapter in kinds or all(kind.loads_first for kind in kinds):
        return True
    shapes = {
        name: shape
        for path in files
        for each in files_below(path)
        if each.suffix == ".safetensors"
        for name, shape in read_header(each).shapes.items()
    }
    names = [name.replace(".processor", "") for _, name, *_ in layers(shapes, {}, {})]
    ends = tuple(each.replace(".", "_") for each in TARGET_MODULES)
    return bool(names) and all(each.replace(".", "_").endswith(ends) for each in names)


def merge_adapters(
    base: str | Path, adapters: Sequence[str | Path], texts: Sequence[str]
) -> tuple[AdapterSet, StableDiffusion]:
    """Merge adapters whose words each have keys and values of their own into one that has all.

    Keys and values are the nearest to the base's, on the words of `texts`, that give for every
    learned word what its own adapter gives; see `constrained_merge` and
    https://arxiv.org/abs/2212.04488, section 3.3. Nothing is trained.

    Args:
        base: What the adapters were trained on, see `load`.
        adapters: Two or more, as `find_adapter_files` finds them: of `MultiConceptModule`, or any
            words with a LoRA on keys and values of the cross-attention alone.
        texts: Some hundred texts without learned words, such as captions: what the model shall go
            on drawing as before.

    Returns:
        The merged adapter, and the base with it, to verify the adapter's files against.

    Raises:
        FileNotFoundError: If there is no such adapter.
        ValueError: If adapters have a word in common, learned no word or more than keys and
            values, or were trained on another base.
    """
    files = [find_adapter_files(each) for each in adapters]
    _check_words(adapters, files)
    model = load(base)
    concepts = [_read(base, model, *each) for each in zip(adapters, files, strict=True)]
    inputs = torch.cat([each.inputs for each in concepts])
    regularisation = _token_states(model.pipeline(), texts)
    put_words(model, [word for each in concepts for word in each.words])
    add_tuned_projections(model)
    for name, layer in tuned_projections(model).items():
        outputs = torch.cat([each.outputs[name] for each in concepts])
        merged = constrained_merge(layer.weight.detach(), regularisation, inputs, outputs, _RIDGE)
        if not torch.allclose(inputs @ merged.T, outputs, rtol=1e-3, atol=1e-3):
            raise ValueError(
                f"Expected words that can be told apart, but `{name}` cannot give each of them "
                "what its adapter gives: merge fewer, or words of fewer vectors."
            )
        layer.weight.data.copy_(merged)
    words = [word for each in concepts for word in each.words]
    return AdapterSet(*words, CrossAttentionAdapter.from_model(model)), model


def _check_words(adapters: Sequence[str | Path], files: Sequence[Sequence[Path]]) -> None:
    if len(adapters) < 2:
        raise ValueError(f"Expected two adapters or more to merge, but got {len(adapters)}.")
    words = []
    for adapter, paths in zip(adapters, files, strict=True):
        found = registry.read_words(paths)
        if not found or len(found) == len(paths):
            raise ValueError(
                f"Expected {adapter} to be learned words with keys and values, but got "
                f"{' and '.join(path.name for path in paths)}: train it with `MultiConceptModule`, "
                "for which one concept is enough."
            )
        words += [word.placeholder_token for word in found]
    twice = [word for word, count in Counter(words).items() if count > 1]
    if twice:
        raise ValueError(
            f"Expected adapters of different words, but {', '.join(f'`{w}`' for w in twice)} is in "
            "more than one: train one of them with another `placeholder_token`."
        )


@torch.no_grad()
def _read(
    base: str | Path, model: StableDiffusion, adapter: str | Path, files: Sequence[Path]
) -> _Concepts:
    words = registry.read_words(files)
    _check_base(model, files)
    pipeline = load_pipeline(base, adapter)
    encoders = [getattr(pipeline, name) for name in model.family.text_encoder_names]
    _check_keys_and_values(adapter, files, pipeline.unet, *encoders)
    inputs = torch.cat(
        [
            _token_states(pipeline, [prompt.format(word.placeholder_token)], word.placeholder_token)
            for word in words
            for prompt in _PROMPTS
        ]
    )
    outputs = {name: pipeline.unet.get_submodule(name)(inputs) for name in projection_names(model)}
    return _Concepts(words, inputs, outputs)


@torch.no_grad()
def _token_states(
    pipeline: DiffusionPipeline, prompts: Sequence[str], first_token: str | None = None
) -> Tensor:
    """Encode prompts and keep what their tokens are encoded to, without padding.

    Args:
        pipeline: The base, or with it words.
        prompts: Texts.
        first_token: A token at which to begin; None begins with the start token.

    Returns:
        (S, d) float32, the tokens of all prompts up to the end token.
    """
    states = []
    tokenizer = pipeline.tokenizer  # a second one splits texts in the same way
    for first in range(0, len(prompts), 64):
        batch = list(prompts[first : first + 64])
        hidden = pipeline.encode_prompt(
            prompt=batch,
            device=pipeline.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
        )[0]
        written = pipeline.maybe_convert_prompt(batch, tokenizer)
        for row, text in zip(hidden, written, strict=True):
            length = tokenizer.model_max_length
            ids = tokenizer(text, truncation=True, max_length=length).input_ids
            begin = tokenizer.convert_tokens_to_ids(first_token or tokenizer.bos_token)
            states.append(row[ids.index(begin) : len(ids)])
    return torch.cat(states).float()


def _check_base(model: StableDiffusion, files: Sequence[Path]) -> None:
    header = registry.recognise(files[-1]).metadata(files[-1])
    named = header.get("sdtune.base_unet_sha256", "")
    if named and not model.has_fingerprint("unet", named):
        raise ValueError(
            f"Expected {files[-1]} to be trained on {model.source}, but its header names another "
            "base: give that as `base`."
        )
    if header.get("sdtune.clip_skip", "1") != "1":
        raise ValueError(
            f"Expected {files[-1]} to read the text encoder's last layer, but it was trained with "
            f"`clip_skip` {header['sdtune.clip_skip']}: train it with 1 to merge it."
        )


def _check_keys_and_values(adapter: str | Path, files: Sequence[Path], *parts: nn.Module) -> None:
    tuned = [name for part in parts for name in lora_layers(part)]
    others = [name for name in tuned if not name.endswith(TARGET_MODULES)]
    weights = registry.recognise(files[-1]).adapter_type
    if others or not (tuned or weights is CrossAttentionAdapter):
        raise ValueError(
            f"Expected {adapter} to have learned words and keys and values alone, but it also "
            f"changes `{others[0] if others else files[-1].name}`: train it by "
            "`MultiConceptModule`, or with `target_modules` "
            f"[{', '.join(TARGET_MODULES)}] and a frozen text encoder."
        )
