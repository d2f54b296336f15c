"""kohya's keys of pictures, and what becomes of each."""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdtune.importing.kohya_caption_keys import CAPTION_KEYS
from sdtune.importing.kohya_settings import KohyaSettings, Subset
from sdtune.importing.outcome import (
    Check,
    Convert,
    Entry,
    Outcome,
    UnfitError,
    boolean,
    idle,
    integer,
    number_or,
    only_if,
    special,
    take,
    text,
    without,
)

__all__ = ["DATA_KEYS", "is_subject", "sides_of"]

_SQUARE = "`data.buckets` null"


def is_subject(settings: KohyaSettings) -> bool:
    """Tell whether the pictures are `SubjectDataModule`'s, and not `StyleDataModule`'s.

    They are if there are regularisation pictures, one text for all pictures, or no LoRA.
    """
    has_prompt = any(_prompt(each) for each in settings.instance)
    return settings.has_class_pictures or has_prompt or not settings.is_adapter


def _prompt(subset: Subset) -> str | None:
    """Give what pictures without captions show, if none of them has one."""
    return subset.class_tokens if _has_captions(subset.folder) is False else None


def _has_captions(folder: str) -> bool | None:
    """Tell whether there are captions, as data sources look for them; None if nobody can look."""
    if not Path(folder).is_dir() or not os.access(folder, os.R_OK | os.X_OK):
        return None
    from sdtune.data.captions import CAPTION_SUFFIXES, NOTES  # with torch: few settings need them
    from sdtune.data.image_folder import find_files

    files = find_files(Path(folder), CAPTION_SUFFIXES)
    return any(each.stem.lower() not in NOTES for each in files)


def _one(subsets: Sequence[Subset], kind: str, settings: KohyaSettings) -> Subset:
    if len(subsets) == 1:
        return subsets[0]
    words = f"one folder of {kind} pictures"
    if settings.has_class_pictures:
        raise UnfitError(f"{words} beside regularisation pictures")
    if not settings.is_adapter:
        raise UnfitError(f"{words} where there is no `network_module`")
    first = next(each.folder for each in subsets if _prompt(each))
    raise UnfitError(
        f"{words}, or several that all have captions (`{first}` has none, and `class_tokens`, in "
        f"their place, are one text for all pictures: `sdtune caption {shlex.quote(first)}` writes "
        "captions)"
    )


def _image_dir(_: Any, settings: KohyaSettings) -> Outcome:
    if not is_subject(settings):
        folders: dict[str, int] = {}
        for each in settings.instance:
            folders[each.folder] = folders.get(each.folder, 0) + each.repeats
        only = next(iter(folders))
        return Outcome("taken over", {"data.folder": folders if len(folders) > 1 else only})
    ours: dict[str, Any] = {
        "data.instance_dir": _one(settings.instance, "instance", settings).folder
    }
    if settings.regularisation:
        regularisation = _one(settings.regularisation, "regularisation", settings)
        ours["data.class_dir"] = regularisation.folder
    if "num_repeats" in settings.values:
        return Outcome("taken over", ours)
    return _with_repeats(ours, settings)


def _halves_batch(settings: KohyaSettings) -> bool:
    size = settings.get("train_batch_size", settings.get("batch_size"))
    return settings.has_class_pictures and number_or(1, size) % 2 == 0


def _with_repeats(ours: dict[str, Any], settings: KohyaSettings, note: str = "") -> Outcome:
    """Repeat pictures twice as often, if only that gives an epoch its steps.

    There an epoch shows as many regularisation pictures as others, which share the batch. Half of
    an even batch, beside as many class pictures, makes each step, and the number of an epoch's
    steps, what they are there; an odd one cannot be halved.
    """
    if not settings.has_class_pictures or _halves_batch(settings):
        return Outcome("taken over", ours, note)
    ours["data.repeats"] = 2 * ours.get("data.repeats", 1)
    doubled = "twice as often, for an epoch to have the steps that class pictures add to it there"
    return Outcome("taken over", ours, "; ".join(filter(None, (doubled, note))))


def _repeats(_: Any, settings: KohyaSettings) -> Outcome:
    repeats = settings.instance[0].repeats
    if not is_subject(settings) and len({each.folder for each in settings.instance}) > 1:
        return Outcome("taken over", note="beside each folder of `data.folder`")
    if not is_subject(settings):
        repeats = sum(each.repeats for each in settings.instance)
    note = ""
    if any(each.repeats > 1 for each in settings.regularisation):
        note = "regularisation pictures are taken in turn, as many as others"
    return _with_repeats({"data.repeats": repeats}, settings, note)


def _tokens(_: Any, settings: KohyaSettings) -> Outcome:
    for each in (*settings.instance, *settings.regularisation):
        if each.class_tokens and _has_captions(each.folder) is None:
            raise UnfitError(
                "of a folder that is here, for whether its pictures have captions decides the "
                f"recipe (`{each.folder}` is not, or cannot be read: call this where it is; or "
                "leave `class_tokens` out, if every picture has a caption)"
            )
    ours = {}
    prompts = [_prompt(each) for each in settings.instance]
    if any(prompts):
        ours["data.instance_prompt"] = prompts[0]
    for each in settings.regularisation:
        if _prompt(each):
            ours["data.class_prompt"] = _prompt(each)
    if ours:
        return Outcome("taken over", ours, "for every picture: no captions were found")
    note = (
        "every picture needs a caption of its own: `sdtune caption` writes those that are missing"
    )
    return Outcome("no equal", note=note)


def _train_dir(value: Any, settings: KohyaSettings) -> Outcome:
    name = "data.instance_dir" if is_subject(settings) else "data.folder"
    ours: dict[str, Any] = {name: text(value)}
    if "in_json" not in settings.values:
        ours["data.source"] = "kohya"
    return _with_repeats(ours, settings)


def _in_json(_: Any, __: KohyaSettings) -> Outcome:
    return Outcome("no equal", note="captions are read from files beside the pictures, not from it")


def sides_of(value: Any) -> tuple[int, int]:
    """Read a resolution.

    Args:
        value: A side, width and height, or a text of either.

    Returns:
        Width and height, in pixels.

    Raises:
        UnfitError: If it is none.
    """
    words = "a side, or width and height, of 64 pixels or more"
    if isinstance(value, str):
        value = re.split(r"[,x]", value.strip("[]() "))
    sides = [_side(each, words) for each in (value if isinstance(value, list) else [value])]
    if len(sides) not in (1, 2):
        raise UnfitError(words)
    return sides[0], sides[-1]


def _resolution(value: Any, settings: KohyaSettings) -> Outcome:
    width, height = sides_of(value)
    side = math.isqrt(width * height)
    rounded = side - side % 8
    if width == height and rounded == width:
        return Outcome("taken over", {"data.resolution": width})
    if width != height and not settings.on("enable_bucket"):
        raise UnfitError("one side, for pictures are cut to a square without `enable_bucket`")
    note = f"a square of about its area: {rounded} x {rounded}"
    return Outcome("no equal", {"data.resolution": rounded}, note)


def _side(value: Any, words: str) -> int:
    try:
        return int(integer(64)(value))
    except UnfitError as error:
        raise UnfitError(words) from error


def _buckets(value: Any, settings: KohyaSettings) -> Outcome:
    if boolean(value):
        enlarge = not settings.on("bucket_no_upscale")
        return Outcome("taken over", {"data.buckets.enlarge": enlarge})
    return Outcome("taken over", {"data.buckets": None})


def _bucket(target: str, check: Check) -> Entry:
    def convert(value: Any, settings: KohyaSettings) -> Outcome:
        found = check(value)
        if not settings.on("enable_bucket"):
            return Outcome("meaningless here", note="without `enable_bucket`")
        if settings.on("bucket_no_upscale") and target != "data.buckets.step":
            note = "`bucket_no_upscale` takes each picture's own size, there as well"
            return Outcome("meaningless here", note=note)
        return Outcome("taken over", {target: found})

    return special(f"`{target}`", convert)


def _no_upscale(value: Any, settings: KohyaSettings) -> Outcome:
    found = boolean(value)
    if not settings.on("enable_bucket"):
        return Outcome("meaningless here", note="without `enable_bucket`")
    return Outcome("taken over", {"data.buckets.enlarge": not found})


def _side_of_bucket(value: Any) -> int:
    found = int(integer(8)(value))
    if found % 8:
        raise UnfitError("a multiple of 8")
    return found


def _batch_of_data(value: Any, settings: KohyaSettings) -> Outcome:
    """Read what a data set's file says, which has then put the training's own aside."""
    if "train_batch_size" in settings.values:
        return Outcome("meaningless here", note="`train_batch_size` goes before it, there as well")
    return _batch(value, settings)


def _batch(value: Any, settings: KohyaSettings) -> Outcome:
    size, note = integer(1)(value), ""
    if _halves_batch(settings):
        size, note = size // 2, "and as many class pictures, which share the batch there"
    elif settings.has_class_pictures:
        note = (
            "and as many class pictures on top, which share the batch there: it cannot be halved, "
            "and is twice as large"
        )
    return Outcome("taken over", {"data.batch_size": size}, note)


def _crop(value: Any, _: KohyaSettings) -> Outcome:
    return Outcome("taken over", {"data.crop": "random" if boolean(value) else "center"})


def _of_subsets(here: str, convert: Convert) -> Entry:
    return only_if(
        lambda settings: bool(settings.instance),
        "it is read in subsets of a data set's file alone, there as well",
        special(here, convert),
    )


_SAME_LATENTS = idle("latents are kept on the disk, whichever way")

DATA_KEYS: dict[str, Entry] = {
    "dataset_config": special(
        "read too, from the configuration's folder; or by `--dataset`",
        lambda *_: Outcome("taken over", note="its keys are in these lists"),
    ),
    "train_data_dir": special(
        "`data.folder`, or `data.instance_dir` beside regularisation pictures", _train_dir
    ),
    "reg_data_dir": take("data.class_dir", text),
    "in_json": special("none: captions are read from files beside the pictures", _in_json),
    "metadata_file": special("none: captions are read from files beside the pictures", _in_json),
    "image_dir": _of_subsets(
        "`data.folder`; `data.instance_dir`, `data.class_dir` beside regularisation pictures",
        _image_dir,
    ),
    "num_repeats": _of_subsets(
        "`data.repeats`, or beside each of `data.folder`; twice as many beside regularisation "
        "pictures and an odd batch",
        _repeats,
    ),
    "class_tokens": _of_subsets(
        "`data.instance_prompt`, `data.class_prompt`, if a folder has no captions", _tokens
    ),
    "is_reg": _of_subsets(
        "`data.class_dir`", lambda *_: Outcome("taken over", note="by `data.class_dir`")
    ),
    "conditioning_data_dir": without("masks lie beside the pictures, `cat_mask.png`"),
    "dataset_repeats": without("`num_repeats` counts"),
    "resolution": special(
        "`data.resolution`, one side; width and height with buckets: the square of their area",
        _resolution,
    ),
    "train_batch_size": special(
        "`data.batch_size`; half of it beside regularisation pictures. 1 if not given, as there",
        _batch,
    ),
    "batch_size": special(
        "`data.batch_size`; half of it beside regularisation pictures", _batch_of_data
    ),
    "enable_bucket": special(f"`data.buckets`; {_SQUARE} if false or not given", _buckets),
    "min_bucket_reso": _bucket("data.buckets.smallest", _side_of_bucket),
    "max_bucket_reso": _bucket("data.buckets.largest", _side_of_bucket),
    "bucket_reso_steps": _bucket("data.buckets.step", _side_of_bucket),
    "bucket_no_upscale": special("`data.buckets.enlarge` false", _no_upscale),
    **CAPTION_KEYS,
    "flip_aug": take("data.flip", boolean),
    "color_aug": without("colours stay as they are"),
    "face_crop_aug_range": without("crops do not look for faces"),
    "random_crop": special("`data.crop` `random`, or `center`", _crop),
    "resize_interpolation": without("there is one way to resize"),
    "cache_latents": take("data.cache_latents", boolean),
    "cache_latents_to_disk": _SAME_LATENTS,
    "skip_cache_check": _SAME_LATENTS,
    "vae_batch_size": idle("it changes how fast latents are made, and nothing else"),
    "cache_text_encoder_outputs": idle("a frozen text encoder's outputs are kept by themselves"),
    "cache_text_encoder_outputs_to_disk": idle(
        "a frozen text encoder's outputs are kept by themselves"
    ),
    "text_encoder_batch_size": idle("it changes how fast prompts are read, and nothing else"),
    "validation_split": without("no pictures are held out; `data.validation_share` can"),
    "validation_seed": idle("pictures to hold out are chosen by `data.seed`"),
    "network_multiplier": without("an adapter learns at full strength", off=(1, 1.0)),
    "custom_attributes": idle("no trainer reads it"),
}
"""Key -> what becomes of it."""
