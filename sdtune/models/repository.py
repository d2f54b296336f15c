"""A base in diffusers' layout: in a folder, or in a repository of the Hugging Face hub."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from sdtune.models.families import Family, families, family_of_pipeline
from sdtune.models.foreign import foreign_name_of_channels, foreign_name_of_pipeline
from sdtune.models.trained_schedule import SCHEDULER_CONFIG, check_trained_schedule
from sdtune.models.variants import Variant, choose_variant

__all__ = ["NotAtHandError", "Repository", "find_folder", "find_on_hub", "is_hub_id"]

# no part of an id begins with a dot or a dash: `./models` is a folder
_HUB_ID = re.compile(r"(?P<repository>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>[\w./-]+))?")
_INDEX = "model_index.json"
_LIBRARIES = ("diffusers", "transformers")


class NotAtHandError(ValueError):
    """A base on the hub is not whole in the local cache, and the hub is out of reach."""


@dataclass(frozen=True)
class Repository:
    """Where a base in diffusers' layout is, as its libraries are told.

    Attributes:
        family: Its family.
        location: A folder, or an id on the hub that may have to be downloaded.
        revision: Branch, tag or commit of an id; None for its default.
        variant: Which of the weights are read, such as `fp16`; None for those without a name.
        without_variant: Parts that have only those without a name.
    """

    family: Family
    location: str
    revision: str | None = None
    variant: str | None = None
    without_variant: frozenset[str] = frozenset()

    @property
    def is_here(self) -> bool:
        """Whether nothing has to be downloaded."""
        return Path(self.location).is_dir()

    def variant_of(self, part: str) -> str | None:
        """Tell which of a part's weights are read."""
        return None if part in self.without_variant else self.variant

    @property
    def options(self) -> dict[str, Any]:
        """What `from_pretrained` is told beside the location."""
        return {"revision": self.revision, "local_files_only": self.is_here}

    def class_of(self, part: str) -> Any:
        """Import the class of a part that has weights, as the index names it.

        Args:
            part: Such as `unet`.

        Raises:
            OSError: If there is no index.
            ValueError: If the index names none of diffusers or transformers.
        """
        index = self.file(_INDEX)
        named = _read_config(index).get(part)
        library, name = named if isinstance(named, list) and len(named) == 2 else (None, None)
        found = None
        if library in _LIBRARIES and isinstance(name, str):
            found = getattr(import_module(library), name, None)
        if not hasattr(found, "from_pretrained"):
            raise ValueError(
                f"Expected {index} to name a class of {' or '.join(_LIBRARIES)} as `{part}`, such "
                f'as ["diffusers", "UNet2DConditionModel"], but got {json.dumps(named)}.'
            )
        return found

    def file(self, name: str) -> Path:
        """Give a file's path, downloaded if need be.

        Raises:
            OSError: If it is not there.
        """
        from huggingface_hub import hf_hub_download

        if self.is_here:
            return Path(self.location, name)
        return Path(hf_hub_download(self.location, name, revision=self.revision))


def is_hub_id(base: str) -> bool:
    """Tell whether a text is written as an id on the hub is, `owner/name` or `owner/name@revision`.

    Args:
        base: What the user typed.
    """
    return _HUB_ID.fullmatch(base) is not None


def is_cached(base: str) -> bool:
    """Tell whether an id on the hub has been fetched before; the hub is not asked.

    Args:
        base: Anything; what is no id is not there.
    """
    from huggingface_hub import try_to_load_from_cache

    match = _HUB_ID.fullmatch(base)
    if match is None:
        return False
    found = try_to_load_from_cache(match["repository"], _INDEX, revision=match["revision"])
    return isinstance(found, str)


def find_folder(folder: Path, base: str) -> Repository:
    """Check that a folder holds a whole base, without reading its weights.

    Args:
        folder: The folder.
        base: What the user typed, for messages.

    Returns:
        Where it is, and which of its weights are read.

    Raises:
        ValueError: If it is none, of no family that is known, or incomplete.
    """
    index = folder / _INDEX
    if not index.is_file():
        raise ValueError(
            f"Expected `base` {base} to be a folder in diffusers' layout, but it has no {_INDEX}."
        )
    family = _family_in(index, base)
    names = _names_in(folder)
    variant = choose_variant(names, family.weighted_parts, lambda name: _read_config(folder / name))
    missing = _missing(names, family, variant)
    if missing:
        raise ValueError(f"`base` {base} is incomplete: it lacks {', '.join(missing)}.")
    _check_channels(folder, base, family)
    check_trained_schedule(index, folder / SCHEDULER_CONFIG, base)
    return Repository(family, str(folder), None, variant.name, variant.without)


def find_on_hub(base: str) -> Repository:
    """Check that a repository holds a whole base, without downloading or reading its weights.

    Args:
        base: `owner/name`, or `owner/name@revision` with a branch, tag or commit. It is looked
            for in the local cache alone when the hub is switched off or out of reach.

    Returns:
        Where it is; a folder of the cache if the hub is not asked.

    Raises:
        NotAtHandError: If it is not whole here and the hub is out of reach.
        ValueError: If it is not there, no base, or incomplete; all messages say what to do.
    """
    from huggingface_hub import is_offline_mode, model_info
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    match = _HUB_ID.fullmatch(base)
    if match is None:
        raise ValueError(f"Expected `base` to be an id on the Hugging Face hub, but got `{base}`.")
    name, revision = match["repository"], match["revision"]
    index = _find_index(base, name, revision)
    family = _family_in(index, base)
    names: Collection[str] = ()
    if not is_offline_mode():
        try:
            siblings = model_info(name, revision=revision).siblings
            names = {each.rfilename for each in siblings or ()}
        except (HfHubHTTPError, OfflineModeIsEnabled, OSError):
            pass  # the index came from the cache, and the rest has to
    if names:
        variant = choose_variant(names, family.weighted_parts, None)
        missing = _missing(names, family, variant)
        if missing:
            raise ValueError(f"`base` {base} is incomplete: it lacks {', '.join(missing)}.")
        check_trained_schedule(index, _fetch(base, name, SCHEDULER_CONFIG, revision), base)
        return Repository(family, name, revision, variant.name, variant.without)
    try:
        return find_folder(index.parent, base)
    except ValueError as error:
        what = str(error).partition("is incomplete: it lacks ")[2]
        if not what:
            raise
        raise NotAtHandError(
            f"`base` {base} is in the local Hugging Face cache in part: it lacks {what} Run "
            f"`{_download(name, revision)}` with a network."
        ) from error


def _find_index(base: str, name: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download, is_offline_mode
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    is_offline = is_offline_mode()
    try:
        return Path(hf_hub_download(name, _INDEX, revision=revision, local_files_only=is_offline))
    except GatedRepoError as error:
        raise ValueError(
            f"`base` {base} asks for its licence to be accepted: do so on its page on the Hugging "
            "Face hub, then run `hf auth login`."
        ) from error
    except RepositoryNotFoundError as error:
        raise ValueError(
            f"`base` {base} is neither a folder here nor a repository that the Hugging Face hub "
            "shows to this account."
        ) from error
    except RevisionNotFoundError as error:
        raise ValueError(
            f"Expected `base` {base} to name a branch, tag or commit after the @, but {name} has "
            f"no `{revision}`."
        ) from error
    except LocalEntryNotFoundError as error:
        reason = "is switched off by HF_HUB_OFFLINE" if is_offline else "cannot be reached"
        raise NotAtHandError(
            f"`base` {base} is neither a folder here nor in the local Hugging Face cache, and the "
            f"hub {reason}: run `{_download(name, revision)}` with a network, or give a diffusers "
            "folder, a .safetensors file or `nano`."
        ) from error
    except EntryNotFoundError as error:
        raise ValueError(
            f"Expected `base` {base} to be a repository in diffusers' layout, but it has no "
            f"{_INDEX}."
        ) from error
    except OSError as error:
        raise NotAtHandError(
            f"`base` {base} could not be looked up on the Hugging Face hub: {error}"
        ) from error


def _fetch(base: str, name: str, file: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, file, revision=revision))
    except OSError as error:
        raise ValueError(
            f"{file} of `base` {base} could not be downloaded from the Hugging Face hub: {error}"
        ) from error


def _download(name: str, revision: str | None) -> str:
    return f"hf download {name}" + (f" --revision {revision}" if revision else "")


def _family_in(index: Path, base: str) -> Family:
    content = _read_config(index)
    name = content.get("_class_name")
    family = family_of_pipeline(name)
    if family is None:
        known = " or ".join(
            f"a {each.name} for text to image, a {each.pipeline_name}" for each in families()
        )
        foreign = foreign_name_of_pipeline(name)
        what = f"{foreign} (a {name})" if foreign else f"a {name}"
        raise ValueError(f"Expected `base` to be {known}, but {base} is {what}.")
    left_out = [each for each in family.text_encoder_names if content.get(each) == [None, None]]
    if left_out:
        raise ValueError(
            f"Expected `base` to be a {family.name} for text to image, but {base} has no "
            f"{' and no '.join(left_out)}: it may be a refiner."
        )
    return family


def _check_channels(folder: Path, base: str, family: Family) -> None:
    """Check that the UNet takes in latents and nothing else."""
    taken = _read_config(folder / "unet" / "config.json").get("in_channels", 4)
    latents = _read_config(folder / "vae" / "config.json").get("latent_channels", 4)
    if taken != latents:
        what = foreign_name_of_channels(taken) or "another kind of model"
        raise ValueError(
            f"Expected `base` to be a {family.name} for text to image, but {base} is {what}: its "
            f"UNet takes in {taken} channels, and not the {latents} of the latents."
        )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a JSON object.")
    return content


def _names_in(folder: Path) -> set[str]:
    """List what is there, to the depth that matters; a link to nothing is not there."""
    found = (*folder.glob("*"), *folder.glob("*/*"))
    return {path.relative_to(folder).as_posix() for path in found if path.is_file()}


def _missing(names: Collection[str], family: Family, variant: Variant) -> list[str]:
    parts = family.weighted_parts
    missing = [f"{part}/config.json" for part in parts if f"{part}/config.json" not in names]
    missing += variant.missing
    missing += [
        f"{part}/"
        for part in family.tokenizer_names
        if not any(name.startswith(f"{part}/") for name in names)
    ]
    return missing if SCHEDULER_CONFIG in names else [*missing, SCHEDULER_CONFIG]
