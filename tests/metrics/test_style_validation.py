"""The style measure on real drawings: things and a vendor that nano's VAE was not trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from sdtune._imports import RESVG_AVAILABLE
from sdtune.metrics.gram import GramEmbedder
from sdtune.metrics.style_score import fit_style_axis, style_score
from sdtune.nano.making.objects import OBJECTS, object_label
from sdtune.nano.making.scenes import PALETTE, Scene, random_background
from sdtune.nano.making.sources import NAMES, SOURCES, Source
from sdtune.nano.making.sprites import render_objects

PACKAGES = Path("~/.cache/sdtune/nano").expanduser()
VAE = Path(__file__).parents[2] / "sdtune" / "nano" / "weights" / "vae"
STYLES = ("openmoji", "noto", "twemoji", "fluent")

THINGS = (
    "artist palette", "bookmark tabs", "briefcase", "broken heart", "bullseye", "calendar",
    "carousel horse", "cat with wry smile", "chains", "chart increasing", "cherry blossom",
    "chocolate bar", "cinema", "clapper board", "clipboard", "collision", "construction",
    "convenience store", "couch and lamp", "credit card", "crossed flags", "curry rice",
    "custard", "cyclone", "dango", "dizzy", "door", "droplet", "ear", "electric plug",
    "factory", "fax machine", "ferris wheel", "file folder", "film frames", "fire extinguisher",
    "fish cake with swirl", "fishing pole", "flashlight", "floppy disk", "fork and knife",
    "fountain", "fuel pump", "game die", "globe with meridians", "goblin", "grinning cat",
    "guide dog", "handbag", "headphone", "hospital", "hotel", "hourglass done", "inbox tray",
    "Japanese castle", "joystick", "kimono", "label", "ledger", "link", "lipstick",
    "love letter", "magnet", "magnifying glass tilted left", "money bag", "moai", "mouth",
    "nail polish", "notebook", "nut and bolt", "ogre", "oncoming fist", "open book",
    "package", "paperclip", "party popper", "paw prints", "pile of poo", "pill", "pool 8 ball",
    "postbox", "printer", "pushpin", "radio", "raised fist", "ribbon", "school",
    "smirking face", "snowboarder", "sweat droplets", "syringe", "teacup without handle",
    "thumbs up", "ticket", "toilet", "triangular ruler", "wrench",
)  # fmt: skip


def _have_packages() -> bool:
    sources: list[Source] = [NAMES, *(SOURCES[style] for style in STYLES)]
    names = [f"{each.package.lstrip('@').replace('/', '-')}-{each.version}" for each in sources]
    return all((PACKAGES / name).is_dir() for name in names)


def _drawings() -> dict[str, torch.Tensor]:
    """Draw things that nano does not know in every style, over plain grounds: (B, 3, 64, 64)."""
    assert not {object_label(name) for name in OBJECTS} & set(THINGS)
    vendors = [SOURCES[style] for style in STYLES]
    books = [render_objects(vendor, THINGS, 64, PACKAGES, vendors) for vendor in vendors]
    things = [thing for thing in THINGS if all(thing in book for book in books)]
    drawings = {}
    for hand, (vendor, book) in enumerate(zip(vendors, books, strict=True)):
        pictures = []
        for number, thing in enumerate(things):
            rng = np.random.default_rng([hand, number])
            ground = random_background(rng, ("plain",), tuple(PALETTE))
            scene = Scene((thing,), vendor.style, ground, ((0.1, 0.1, 0.8),), named=(True, False))
            pictures.append(scene.draw({(vendor.style, thing): book[thing].convert("RGBa")}, 64))
        drawings[vendor.style] = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255
    return drawings


@pytest.mark.slow
@pytest.mark.skipif(
    not (RESVG_AVAILABLE and VAE.is_dir() and _have_packages()),
    reason="needs nano's weights, resvg-py and the vendors' packages in ~/.cache/sdtune/nano",
)
def test_same_style_ranks_above_same_content_for_an_unseen_vendor():
    embedder = GramEmbedder(AutoencoderKL.from_pretrained(VAE, torch_dtype=torch.float32))
    features = {style: embedder.embed_images(each) for style, each in _drawings().items()}
    style = features.pop("openmoji")
    half = len(style) // 2
    accuracies, plain = [], []
    for other in features.values():
        axis = fit_style_axis(style[:half], other[:half])
        ours, theirs = (style_score(each[half:], axis) for each in (style, other))
        accuracies.append(float((ours[:, None] > theirs[None, :]).float().mean()))
        same_content, same_style = style * other, style * style.roll(1, dims=0)
        plain.append(float((same_style.sum(dim=1) > same_content.sum(dim=1)).float().mean()))
    assert min(accuracies) > 0.9
    assert max(plain) < 0.65  # the likeness of the matrices alone hardly tells
