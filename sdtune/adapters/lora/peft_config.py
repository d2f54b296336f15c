"""What PEFT's configuration says of an update, checked once: it is JSON that anybody may write."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdtune._checks import shortened
from sdtune.adapters.lora.names import pattern_value
from sdtune.files.text_file import parse_json_text

__all__ = [
    "CONFIG_KEY",
    "CONFIG_NAME",
    "alpha_of_module",
    "header_configs",
    "is_finite_number",
    "json_object",
    "read_config",
    "whole_scale_of_module",
]

CONFIG_NAME = "adapter_config.json"
CONFIG_KEY = "lora_adapter_metadata"
"""Where diffusers keeps the configurations of all parts in a file's header."""

_ALPHAS = {"LORA": "lora_alpha", "LOHA": "alpha", "LOKR": "alpha"}
_PATTERNS = {"alpha_pattern": False, "rank_pattern": True}  # whether values must be above zero

# initial matrices that PEFT takes out of the base's weights, so that they are of another base
_TAKEN_OUT = ("corda", "lora_ga", "olora", "pissa")
_QUANTIZED = "loftq"

# by which the layer does something else than what the matrices alone say
_OTHER_METHODS = (
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "layer_replication",
    "monteclora_config",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_qalora",
)


def read_config(folder: Path) -> Mapping[str, Any]:
    """Read the configuration in a folder of PEFT's.

    Args:
        folder: It holds `adapter_config.json`.

    Returns:
        The configuration, of a LoRA, LoHa or LoKr.

    Raises:
        ValueError: If it is none, is of another method, or says what is not read.
    """
    path = folder / CONFIG_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(f"Expected {path} to be PEFT's configuration, but: {error}.") from error
    config = json_object(text, str(path))
    kind = config.get("peft_type")
    if not isinstance(kind, str) or kind not in _ALPHAS:
        raise ValueError(
            f"Expected {folder} to hold a LoRA, LoHa or LoKr, but its `peft_type` is {kind}."
        )
    _check(config, str(path), needed=("r", _ALPHAS[kind]))
    return config


def header_configs(metadata: Mapping[str, str], path: Path) -> dict[str, dict[str, Any]]:
    """Read the configurations in the header of a file of diffusers'.

    Args:
        metadata: The header's strings.
        path: The file, for messages.

    Returns:
        Part -> what is said of it; empty if there are none.

    Raises:
        ValueError: If they are no JSON, or say what is not read.
    """
    where = f"`{CONFIG_KEY}` in {path}"
    found: dict[str, dict[str, Any]] = {}
    for key, value in json_object(metadata.get(CONFIG_KEY, "{}"), where).items():
        part, _, name = key.partition(".")
        found.setdefault(part, {})[name] = value
    for part, config in found.items():
        _check(config, f"the {part}'s {where}")
    return found


def json_object(text: str, where: str) -> dict[str, Any]:
    """Read an object of JSON.

    Args:
        text: The JSON.
        where: What holds it, for messages.

    Returns:
        Its content.

    Raises:
        ValueError: If it is none.
    """
    try:
        content = parse_json_text(text)
    except ValueError as error:
        raise ValueError(f"Expected {where} to be JSON, but: {error}.") from error
    if not isinstance(content, dict):
        raise ValueError(
            f"Expected {where} to be names and values in JSON, but got {shortened(content)}."
        )
    return content


def is_finite_number(value: object) -> bool:
    """Tell whether a value of JSON is a number that can be reckoned with."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def alpha_of_module(config: Mapping[str, Any], module: str, rank: int) -> float | None:
    """Look up the alpha of a module, by which / rank its update is scaled.

    Args:
        config: What `read_config` or `header_configs` gave of its part.
        module: Its name.
        rank: Its rank.

    Returns:
        Alpha; None if the configuration does not say it.
    """
    default = config.get(_ALPHAS.get(str(config.get("peft_type")), "lora_alpha"))
    if default is None:
        return None
    alpha = pattern_value(config.get("alpha_pattern") or {}, module, float(default))
    return alpha * rank**0.5 if config.get("use_rslora") else alpha  # alpha / sqrt(r), not / r


def whole_scale_of_module(config: Mapping[str, Any], module: str) -> float | None:
    """Look up the scale of a module whose matrices are whole, and show no rank.

    Args:
        config: What `read_config` gave.
        module: Its name.

    Returns:
        alpha / rank.
    """
    alpha = alpha_of_module(config, module, 1)
    ranks = config.get("rank_pattern") or {}
    return None if alpha is None else alpha / pattern_value(ranks, module, float(config["r"]))


def _check(config: Mapping[str, Any], where: str, needed: tuple[str, ...] = ()) -> None:
    for key in ("r", "lora_alpha", "alpha"):
        value = config.get(key)
        if value is None and key not in needed:
            continue
        if not is_finite_number(value) or (key == "r" and value <= 0):  # type: ignore[operator]
            kind = "a number above 0" if key == "r" else "a finite number"
            raise ValueError(
                f"Expected `{key}` in {where} to be {kind}, but got {shortened(value)}: get it "
                "again."
            )
    for key, is_above_zero in _PATTERNS.items():
        _check_pattern(config.get(key) or {}, key, where, is_above_zero=is_above_zero)
    if not isinstance(config.get("use_rslora"), bool | None):
        raise ValueError(
            f"Expected `use_rslora` in {where} to be true or false, but got "
            f"{shortened(config['use_rslora'])}: get it again."
        )
    _check_method(config, where)


def _check_pattern(pattern: object, key: str, where: str, *, is_above_zero: bool) -> None:
    if not isinstance(pattern, dict):
        raise ValueError(
            f"Expected `{key}` in {where} to be names of modules with a number each, but got "
            f"{shortened(pattern)}: get it again."
        )
    for name, value in pattern.items():
        if not is_finite_number(value) or (is_above_zero and value <= 0):
            kind = "a number above 0" if is_above_zero else "a finite number"
            raise ValueError(
                f"Expected `{name}` in `{key}` in {where} to be {kind}, but got "
                f"{shortened(value)}: get it again."
            )
        try:
            re.compile(rf"(.*\.)?({name})$")  # as PEFT does
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(
                f"Expected `{name}` in `{key}` in {where} to be a module's name or a pattern of "
                f"names, but: {error}."
            ) from error


def _check_method(config: Mapping[str, Any], where: str) -> None:
    """Refuse what PEFT would read otherwise: a changed base, or another function of matrices."""
    start = str(config.get("init_lora_weights")).lower()
    if start.startswith((*_TAKEN_OUT, _QUANTIZED)):
        advice = (
            "merge it into its base with PEFT and give that"
            if start.startswith(_QUANTIZED)
            else "save it as a LoRA by the `path_initial_model_for_weight_conversion` of PEFT's "
            "`save_pretrained`"
        )
        raise ValueError(
            f"Expected a LoRA of the base as it is, but by `init_lora_weights` in {where}, which "
            f"is `{start}`, PEFT changes the base's weights too: {advice}."
        )
    used = next((key for key in _OTHER_METHODS if config.get(key)), None)
    if used is not None:
        raise ValueError(
            f"Expected a LoRA, DoRA, LoHa or LoKr, but `{used}` in {where} makes it another "
            "method, which is not read: merge it into its base with PEFT and give that."
        )
