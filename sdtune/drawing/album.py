"""A folder that pictures are drawn into, one after the other, and none over another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from PIL import Image

from sdtune.drawing.drawer import Drawer, Drawn
from sdtune.drawing.settings import PictureSettings
from sdtune.run_folder.grid_image import GridRow, draw_grid, sampling_caption

__all__ = ["Album"]

_NUMBERED = re.compile(r"(?P<start>grid_)?(?P<number>\d+)(?:_seed_\d+)?\.png")


class Album:
    """A folder of numbered pictures.

    Args:
        folder: It need not exist.

    Attributes:
        drawn: What has been drawn into it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.drawn: list[Drawn] = []

    @property
    def lost(self) -> int:
        """How many of them hold what is not a number."""
        return sum(not each.is_finite for each in self.drawn)

    def draw(
        self,
        drawer: Drawer,
        settings: Sequence[PictureSettings],
        on_step: Callable[[int], object] | None = None,
    ) -> Iterator[Path]:
        """Draw pictures, and write each as soon as it is there.

        Args:
            drawer: What draws.
            settings: One for each picture.
            on_step: As in `Drawer.draw`.

        Yields:
            Their files.
        """
        for drawn in drawer.draw(settings, on_step):
            self.drawn.append(drawn)
            yield self.keep(drawn)

    def keep(self, drawn: Drawn) -> Path:
        """Write a picture that is drawn.

        Args:
            drawn: The picture.

        Returns:
            Its file.
        """
        return self._new(f"_seed_{drawn.settings.seed}", drawn.save)

    def write_grid(self) -> Path:
        """Write all that was drawn side by side, as a run's grid of samples.

        Returns:
            The file.
        """
        settings = [each.settings for each in self.drawn]
        prompts = list(dict.fromkeys(each.prompt for each in settings))
        seeds = list(dict.fromkeys(each.seed for each in settings))
        by_place = {
            (s.prompt, s.seed): each.picture for s, each in zip(settings, self.drawn, strict=True)
        }
        tiles = [by_place[prompt, seed] for prompt in prompts for seed in seeds]
        first = settings[0]
        label = ", ".join(f"{each.name} {each.strength:g}" for each in first.adapters) or "base"
        caption = sampling_caption(first.num_inference_steps, first.guidance_scale, seeds)
        grid = draw_grid([GridRow(label, tiles)], prompts, seeds, caption)
        return self._new("", lambda path: _save(grid, path), "grid_")

    def _new(self, end: str, save: Callable[[Path], None], start: str = "") -> Path:
        """Save under the next number; one that another process has taken is left to it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        found = (_NUMBERED.fullmatch(each.name) for each in self.folder.iterdir())
        number = (
            max(
                (int(name["number"]) for name in found if name and (name["start"] or "") == start),
                default=0,
            )
            + 1
        )
        while True:
            path = self.folder / f"{start}{number:04d}{end}.png"
            try:
                save(path)
            except FileExistsError:
                number += 1
            else:
                return path


def _save(picture: Image.Image, path: Path) -> None:
    with path.open("xb") as file:
        picture.save(file, format="PNG")
