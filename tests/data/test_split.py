import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from sdtune.data.pictures import Picture
from sdtune.data.scan import scan_folder
from sdtune.data.split import held_out
from sdtune.data.style import StyleDataModule


def picture(number, perceptual=None):
    name = f"{number}.png"
    return Picture(
        Path(name), name, "x", (8, 8), hashlib.sha256(name.encode()).hexdigest(), 1, None, (),
        perceptual,
    )  # fmt: skip


def names(pictures, **how):
    return {pictures[each].name for each in held_out(pictures, 0, **how)}


def test_near_copies_stay_on_one_side_and_move_no_others():
    looks = np.random.default_rng(0).integers(2**40, 2**62, 200).tolist()
    pictures = [picture(number, look) for number, look in enumerate(looks)]
    before = names(pictures, share=0.2)
    assert 20 < len(before) < 60
    near = [picture(1000 + number, look ^ 0b1) for number, look in enumerate(looks)]
    for number, each in enumerate(near):
        after = names([*pictures, each], share=0.2)
        own = {pictures[number].name, each.name}
        assert after - own == before - own
        assert own <= after or own.isdisjoint(after)
    both = names([*near, *pictures], share=0.2)
    assert len(both) % 2 == 0
    assert {int(name.removesuffix(".png")) % 1000 for name in both} == {
        int(each.name.removesuffix(".png")) for each in pictures if each.name in both
    }
    assert 20 < len(both) / 2 < 60  # the share is still the share


def test_by_count_a_near_copy_comes_along():
    pictures = [picture(number, None) for number in range(50)]
    (first,) = held_out(pictures, 0, count=1)
    look = 0xF0F0_F0F0
    pictures[first] = replace(pictures[first], perceptual=look)
    near = [replace(picture(100 + number), perceptual=look ^ 1 << number) for number in range(8)]
    lowest = min([pictures[first], *near], key=lambda each: each.sha256)
    held = names([*pictures, *near], count=1)
    group = {pictures[first].name, *(each.name for each in near)}
    assert held == group or held.isdisjoint(group)
    if lowest is pictures[first]:
        assert held == group
    few = [pictures[first], *near]
    assert names(few, count=1) == group


def test_nothing_is_compared_where_nothing_is_held_out(monkeypatch):
    monkeypatch.setattr("sdtune.data.split.alike_groups", None)
    assert held_out([picture(0, 1)], 0) == []


def test_the_same_picture_at_another_size_is_a_near_copy(make_folder, tmp_path):
    generator = np.random.default_rng(1)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(6):
        noise = generator.integers(0, 256, (8, 9, 3), dtype=np.uint8)
        image = Image.fromarray(noise).resize((360, 320), Image.Resampling.BICUBIC)
        image.save(folder / f"{number}.png")
        image.resize((180, 160)).save(folder / f"{number}_small.jpg", quality=80)
    for share in (0.2, 0.5, 0.8):
        found = scan_folder(folder, "a thing").pictures
        held = {found[each].name.split(".")[0] for each in held_out(found, 3, share=share)}
        assert held == {f"{each[0]}{end}" for each in held for end in ("", "_small")}
    for path in list(folder.iterdir()):
        path.with_suffix(".txt").write_text("a thing")
    data = StyleDataModule(folder, validation_count=1)
    assert data.problems() == []
    assert "data.validation_count: 2 pictures are held out in place of 1" in data.found()[1]
    for path in folder.glob("[1-5]*"):
        path.unlink()
    (problem,) = StyleDataModule(folder, validation_count=1).problems()
    assert "holding out 2 of 2 pictures leaves none to train on (what looks alike" in problem
