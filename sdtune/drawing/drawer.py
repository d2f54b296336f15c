"""Draws pictures by their settings, with a base that is loaded once, and adapters."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from PIL import Image, PngImagePlugin
from torch import nn

from sdtune.adapters.adapter_files import file_sha256
from sdtune.adapters.placed_adapters import PlacedAdapters
from sdtune.drawing import parameters, picture_settings
from sdtune.drawing.settings import Batch, PictureSettings, Precision, UsedAdapter, UsedBase
from sdtune.drawing.sources import AdapterSource, relative_path
from sdtune.models.devices import chosen_device
from sdtune.models.loading import load
from sdtune.models.sampling import sample
from sdtune.run_folder.picture_file import from_bytes, to_bytes

__all__ = ["Drawer", "Drawn"]

_BATCH = 8  # as a run's samples are drawn
_SETS_KEPT = 4


@dataclass(frozen=True)
class Drawn:
    """A picture, and all that it depends on.

    Attributes:
        settings: With size and batch.
        picture: RGB.
        texts: Keyword -> text for the header of its PNG.
        is_finite: Whether it is a picture; one that holds what is not a number is black there.
    """

    settings: PictureSettings
    picture: Image.Image
    texts: dict[str, str]
    is_finite: bool = True

    def save(self, path: Path) -> None:
        """Write it as a PNG with its settings; equal pictures and settings give equal bytes.

        Args:
            path: A file that is not there.

        Raises:
            FileExistsError: If it is.
        """
        header = PngImagePlugin.PngInfo()
        for keyword, text in self.texts.items():
            header.add_text(keyword, text)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            try:
                self.picture.save(file, format="PNG", pnginfo=header)
            except BaseException:
                path.unlink(missing_ok=True)
                raise


class Drawer:
    """A base that is loaded once, and the adapters that it may be asked to draw with.

    Another strength of an adapter loads nothing; another choice of adapters loads these alone.

    Args:
        base: As in `sdtune.load`.
        sources: Adapters; more may be added.
        precision: Floating type of the UNet and the text encoders.
        device: Where it draws, such as `cuda`; None for the GPU if there is one.

    Raises:
        ValueError: If the base cannot be loaded, or there is no such device.
    """

    def __init__(
        self,
        base: str | Path,
        sources: Iterable[AdapterSource] = (),
        *,
        precision: Precision = "float32",
        device: str | None = None,
    ) -> None:
        self.device = chosen_device(device)
        self.precision: Precision = precision
        self._model = load(base)
        self._model.set_dtype(getattr(torch, precision))
        digest = self._model.fingerprint("unet")
        cast(nn.Module, self._model).to(self.device)
        self.base = UsedBase(_source_name(base), digest)
        is_file = Path(base).is_file()
        self._model_hash = (file_sha256(Path(base)) if is_file else digest)[:10]
        self._sources = {each.sha256: each for each in sources}
        self._placed: OrderedDict[tuple[str, ...], PlacedAdapters] = OrderedDict()

    @property
    def resolution(self) -> int:
        """Side of the base's own pictures, in pixels."""
        return self._model.resolution

    @property
    def size_step(self) -> int:
        """What widths and heights are multiples of, in pixels."""
        return self._model.vae_scale_factor

    def add(self, source: AdapterSource) -> None:
        """Let pictures be drawn with one more adapter.

        Args:
            source: The adapter.
        """
        self._sources[source.sha256] = source

    def is_base(self, digest: str) -> bool:
        """Tell whether a hash is that of the base's UNet.

        Args:
            digest: As an adapter's header names what it was trained on.
        """
        return self._model.has_fingerprint("unet", digest)

    def check(self, settings: PictureSettings, *, is_base_known: bool = True) -> None:
        """Load the adapters of a picture, and see that it can be drawn.

        Args:
            settings: What is to be drawn.
            is_base_known: Whether the base was chosen, and not only taken for want of another.

        Raises:
            ValueError: If a value is out of its range, or an adapter is not known here, does not
                fit the base or cannot have its strength.
        """
        settings.check()
        self._check(settings)
        if settings.clip_skip > 1:
            self._model.encode_negative_prompt("", settings.clip_skip)  # which layers there are
        try:
            self._place(settings.adapters)
        except ValueError as error:
            if is_base_known:
                raise
            raise ValueError(
                f"{str(error).removesuffix('.')}; `--base` names the one that it was trained on."
            ) from error

    def draw(
        self, settings: Sequence[PictureSettings], on_step: Callable[[int], object] | None = None
    ) -> Iterator[Drawn]:
        """Draw pictures, several at once where they differ in prompt and seed alone.

        Settings of a picture that was drawn before give the same one to the last bit, on the same
        machine: it is drawn in a batch of the same size, at its place.

        Args:
            settings: One for each picture.
            on_step: Called after each step with the number of pictures that made it; what it
                raises ends the drawing.

        Yields:
            The pictures in their order, as soon as they are there.

        Raises:
            ValueError: If settings are out of their ranges, are of another base or precision, or
                name an adapter that is not known here or does not fit.
        """
        for each in settings:
            self.check(each)
        for batch in self._batches(settings):
            yield from self._draw(batch, on_step)

    def _draw(
        self, batch: Sequence[PictureSettings], on_step: Callable[[int], object] | None
    ) -> Iterator[Drawn]:
        first = batch[0]
        model = self._place(first.adapters).model
        model.max_prompt_chunks = first.max_prompt_chunks
        size = cast(Batch, first.batch).size
        rows = list(batch) if len(batch) == size else [first] * size
        images = sample(
            model,
            [each.prompt for each in rows],
            seeds=[each.seed for each in rows],
            num_inference_steps=first.num_inference_steps,
            guidance_scale=first.guidance_scale,
            negative_prompt=first.negative_prompt,
            width=first.width,
            height=first.height,
            noise_scheduler=first.sampler,
            clip_skip=first.clip_skip,
            batch_size=size,
            on_step=None if on_step is None else lambda: on_step(len(batch)),
        )
        for each in batch:
            image = images[cast(Batch, each.batch).index]
            is_finite = bool(image.isfinite().all())
            yield Drawn(each, from_bytes(to_bytes(image)), self._texts(each), is_finite)

    def _batches(self, settings: Sequence[PictureSettings]) -> Iterator[list[PictureSettings]]:
        """Put together what is drawn at once, the size filled in."""
        sized = [
            replace(
                each,
                width=each.width or self.resolution,
                height=each.height or self.resolution,
            )
            for each in settings
        ]
        start = 0
        while start < len(sized):
            alike = self._alike(sized[start:])
            first = alike[0].batch
            if first is None:
                batch = [
                    replace(each, batch=Batch(min(len(alike), _BATCH), index))
                    for index, each in enumerate(alike[:_BATCH])
                ]
            else:
                whole = [Batch(first.size, index) for index in range(first.size)]
                is_whole = [each.batch for each in alike[: first.size]] == whole
                batch = alike[: first.size if is_whole else 1]
            yield batch
            start += len(batch)

    def _alike(self, settings: Sequence[PictureSettings]) -> list[PictureSettings]:
        """Take those at the front that can be drawn at once; prompts are then equally long."""
        first = settings[0]
        same = replace(first, prompt="", seed=0, batch=None)
        model = self._place(first.adapters).model
        model.max_prompt_chunks = first.max_prompt_chunks
        chunks = model.chunk_counts([first.prompt])
        found = []
        for each in settings:
            if replace(each, prompt="", seed=0, batch=None) != same:
                break
            if (each.batch is None) != (first.batch is None):
                break
            if model.chunk_counts([each.prompt]) != chunks:
                break
            found.append(each)
        return found

    def _check(self, settings: PictureSettings) -> None:
        if settings.base.unet_sha256 != self.base.unet_sha256:
            raise ValueError(
                f"Expected the base `{settings.base.source}` whose UNet has the hash "
                f"{settings.base.unet_sha256[:10]}, but `{self.base.source}` has "
                f"{self.base.unet_sha256[:10]}: name the other one by `--base`."
            )
        factor = self._model.vae_scale_factor
        for name, side in (("width", settings.width), ("height", settings.height)):
            if side is not None and side % factor:
                raise ValueError(f"Expected `{name}` to be a multiple of {factor}, but got {side}.")
        if settings.precision != self.precision:
            raise ValueError(
                f"Expected pictures in {self.precision}, in which the base is loaded, but got "
                f"{settings.precision}."
            )

    def _place(self, adapters: Sequence[UsedAdapter]) -> PlacedAdapters:
        unknown = [each for each in adapters if each.sha256 not in self._sources]
        if unknown:
            raise ValueError(
                f"Expected the adapter `{unknown[0].name}`, with the hash "
                f"{unknown[0].sha256[:10]}, to be given, but it is not."
            )
        key = tuple(each.sha256 for each in adapters)
        if key not in self._placed:
            files = [self._sources[each].files for each in key]
            self._placed[key] = PlacedAdapters(self._model, files)
        self._placed.move_to_end(key)
        while len(self._placed) > _SETS_KEPT:
            self._placed.popitem(last=False)
        placed = self._placed[key]
        placed.set_strengths([each.strength for each in adapters])
        return placed

    def _texts(self, settings: PictureSettings) -> dict[str, str]:
        sources = [self._sources[each.sha256] for each in settings.adapters]
        # each LoRA by the name that the settings have for it
        loras = {
            used.name: source.lora_hash
            for used, source in zip(settings.adapters, sources, strict=True)
            if source.lora_hash
        }
        words = {word: text for source in sources for word, text in source.words.items()}
        text = parameters.parameters_text(
            settings, model_hash=self._model_hash, lora_hashes=loras, words=words
        )
        return {
            parameters.KEYWORD: text,
            picture_settings.KEYWORD: picture_settings.settings_text(settings),
        }


def _source_name(base: str | Path) -> str:
    path = Path(base)
    if not path.exists() or str(base) == "nano":
        return str(base)
    return relative_path(path) or path.name
