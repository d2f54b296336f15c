"""The networks that judge pictures: which ones the metrics need, and how they are loaded."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from sdtune._imports import TORCHVISION_AVAILABLE
from sdtune.functional.randomness import isolated_random_state
from sdtune.metrics.features import check_clip, check_dino, load_clip, load_dino
from sdtune.metrics.judge_files import digest_of_judge
from sdtune.metrics.judges import Judges
from sdtune.metrics.lpips import Distance, load_lpips
from sdtune.metrics.registry import needed
from sdtune.models.fingerprint import fingerprint
from sdtune.run_folder.record import EvaluationSettings

__all__ = ["judge_problems", "load_judges", "missing_needs"]


def missing_needs(protocol: EvaluationSettings, style_pictures: int) -> dict[str, str]:
    """List what metrics need and an evaluation will not have, as far as it can be told before.

    Args:
        protocol: What is drawn and who judges.
        style_pictures: Training pictures whose captions the base draws for the style score.

    Returns:
        Need -> why it cannot be met.
    """
    missing = _missing_judges(protocol.dino, len(protocol.seeds))
    if style_pictures < 2:
        missing["style"] = "it needs another goal than `subject`, and two `style_pictures`"
    if not protocol.class_prompts:
        missing["class_pictures"] = "it needs `class_prompts`"
    return missing


def judge_problems(clip: str, dino: str | None) -> list[str]:
    """List what keeps the networks from being loaded; reads their configurations alone.

    Args:
        clip: See `load_clip`.
        dino: See `load_dino`; None leaves DINO out.

    Returns:
        A sentence for each network that is not available here.
    """
    problems = []
    for name, check, source in (("clip", check_clip, clip), ("dino", check_dino, dino)):
        if source is not None and name in needed():
            try:
                check(source)
            except ValueError as error:
                problems.append(str(error))
    return problems


def load_judges(clip: str, dino: str | None, num_seeds: int) -> Judges:
    """Load the networks that registered metrics need.

    Args:
        clip: See `load_clip`.
        dino: See `load_dino`; None leaves DINO out.
        num_seeds: Pictures of each prompt; diversity needs two.

    Returns:
        The networks on the CPU, and why some of them cannot be had.

    Raises:
        ValueError: If one that is named is not available here; one sentence says what to do.
    """
    missing = _missing_judges(dino, num_seeds)
    wanted = needed(missing)
    with isolated_random_state():
        judges = Judges(
            clip=load_clip(clip) if "clip" in wanted else None,
            dino=load_dino(dino) if dino is not None and "dino" in wanted else None,
            lpips=_load_lpips(missing) if "lpips" in wanted else None,
            missing=missing,
        )
    return replace(judges, identity=_identity(judges, clip, dino))


def _identity(judges: Judges, clip: str, dino: str | None) -> dict[str, str] | None:
    """Say what the networks are made of; None if that is not known of one of them."""
    known: dict[str, str | None] = {}
    if judges.clip is not None:
        known["clip"] = digest_of_judge(clip)
    if judges.dino is not None and dino is not None:
        known["dino"] = digest_of_judge(dino)
    if judges.lpips is not None:
        network = judges.lpips
        known["lpips"] = fingerprint(network) if isinstance(network, nn.Module) else None
    told = {name: digest for name, digest in known.items() if digest is not None}
    return told if len(told) == len(known) else None


def _missing_judges(dino: str | None, num_seeds: int) -> dict[str, str]:
    missing = {}
    if dino is None:
        missing["dino"] = "give `dino` a model, such as facebook/dinov2-small"
    if num_seeds < 2:
        missing["lpips"] = "it needs two seeds"
    elif not TORCHVISION_AVAILABLE:
        missing["lpips"] = 'it needs pip install "sdtune[lpips]"'
    return missing


def _load_lpips(missing: dict[str, str]) -> Distance | None:
    """Load LPIPS, or note why it cannot be."""
    try:
        return load_lpips()
    except ValueError as error:
        missing["lpips"] = str(error).rstrip(".")
        return None
