"""`python -m sdtune.nano`: the steps from registry packages to nano's weights and picture sets."""

import json
import sys
from pathlib import Path

from jsonargparse import auto_cli

from sdtune.nano.making.objects import OBJECTS
from sdtune.nano.making.sources import NAMES, TRAINING_SOURCES

__all__ = ["main"]

_CACHE = Path("~/.cache/sdtune/nano")
_PACKAGE = Path(__file__).parents[1]


def sprites(path: Path, size: int = 96, cache_dir: Path = _CACHE) -> None:
    """Render the sprites that scenes are composed of.

    Args:
        path: The zip file to write.
        size: Width and height of a sprite in pixels.
        cache_dir: Folder of unpacked registry packages.
    """
    from sdtune.nano.making.sprites import build_sprites

    build_sprites(path, TRAINING_SOURCES, OBJECTS, size, cache_dir.expanduser())


def tokenizer(folder: Path, cache_dir: Path = _CACHE) -> None:
    """Learn nano's byte-pair vocabulary from captions and the names of all emoji.

    Args:
        folder: Where to write.
        cache_dir: Folder of unpacked registry packages.
    """
    from sdtune.nano.making.tokenizer import build_tokenizer

    names = NAMES.fetch(cache_dir.expanduser()) / "en" / "data.json"
    labels = [entry["label"] for entry in json.loads(names.read_text(encoding="utf-8"))]
    build_tokenizer(folder, " ".join(labels).replace("-", " ").split())


def base(vae: Path, clip: Path, tokenizer: Path, sprites: Path, folder: Path) -> None:
    """Pack VAE, text encoder, tokenizer and noise schedule, for the UNet to be trained on.

    Args:
        vae: Checkpoint of the VAE.
        clip: Checkpoint of the CLIP whose text encoder conditions the UNet.
        tokenizer: Folder of the tokenizer.
        sprites: Sprite file.
        folder: Where to write.
    """
    from sdtune.nano.making.packing import pack_base

    pack_base(vae, clip, tokenizer, sprites, folder)


def unet(checkpoint: Path, folder: Path) -> None:
    """Add the trained UNet to a packed base.

    Args:
        checkpoint: Checkpoint of the UNet.
        folder: The packed base.
    """
    from sdtune.nano.making.packing import pack_unet

    pack_unet(checkpoint, folder)


def evaluation_clip(checkpoint: Path, tokenizer: Path, folder: Path) -> None:
    """Pack the CLIP that evaluates and never conditions.

    Args:
        checkpoint: Checkpoint of that CLIP.
        tokenizer: Folder of the tokenizer.
        folder: Where to write.
    """
    from sdtune.nano.making.packing import pack_clip

    pack_clip(checkpoint, tokenizer, folder)


def style_set(folder: Path, cache_dir: Path = _CACHE) -> None:
    """Draw the picture set of an unseen style.

    Args:
        folder: Where to write; it must not exist.
        cache_dir: Folder of unpacked registry packages.
    """
    from sdtune.nano.making.picture_sets import build_style_set

    build_style_set(folder, cache_dir.expanduser())


def subject_set(name: str, folder: Path, cache_dir: Path = _CACHE) -> None:
    """Draw the picture set of an unseen subject.

    Args:
        name: Which subject: `cat` or `rabbit`.
        folder: Where to write; it must not exist.
        cache_dir: Folder of unpacked registry packages.
    """
    from sdtune.nano.making.picture_sets import build_subject_set

    build_subject_set(folder, cache_dir.expanduser(), name)


def card(
    sprites: Path,
    folder: Path = _PACKAGE,
    prompts: int = 200,
    steps: int = 25,
    scenes: int = 512,
) -> None:
    """Measure nano and write its model card.

    Args:
        sprites: Sprite file.
        folder: Folder with `weights` and `evaluation_clip`; by default the installed package's.
        prompts: How many held-out captions are drawn, twice each.
        steps: Of the sampler.
        scenes: How many held-out scenes pass the VAE; the judge sees whole hundreds of them.
    """
    from sdtune.nano.making.card import write_card

    write_card(folder, sprites, prompts, steps, scenes)


def is_finished(checkpoint: Path, recipe: Path) -> None:
    """Exit with 0 if a training has reached the last step of its recipe, else with 1.

    Args:
        checkpoint: A checkpoint of the training.
        recipe: The resolved recipe beside it.
    """
    import torch
    import yaml

    steps = torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"]
    last = yaml.safe_load(recipe.read_text(encoding="utf-8"))["trainer"]["max_steps"]
    sys.exit(0 if steps >= last else 1)


def main() -> None:
    """Carry out the step that the command line names."""
    auto_cli(
        [sprites, tokenizer, base, unet, evaluation_clip, style_set, subject_set, card, is_finished]
    )
