import os
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from sdtune.data.image_folder import PictureError, find_pictures, picture_size, read_picture


def test_pictures_are_found_at_any_depth_and_sorted(tmp_path):
    for name in ("b.PNG", "a.jpg", "sub/c.webp", ".hidden.png", ".cache/d.png", "__MACOSX/e.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "notes.md").touch()
    names = [path.relative_to(tmp_path).as_posix() for path in find_pictures(tmp_path)]
    assert names == ["a.jpg", "b.PNG", "sub/c.webp"]


def test_rotation_in_exif_is_applied(tmp_path):
    image = Image.new("RGB", (8, 4), "red")
    image.paste("blue", (0, 0, 4, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    image.save(tmp_path / "photo.png", exif=exif)
    turned = read_picture(tmp_path / "photo.png")
    assert turned.size == (4, 8)
    assert turned.getpixel((0, 0)) == (0, 0, 255)
    assert turned.getpixel((0, 7)) == (255, 0, 0)


def _palette_with_transparency():
    image = Image.new("P", (2, 1), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    return image, {"transparency": 1}


def _grey_with_transparency():
    return Image.fromarray(np.array([[[100, 255], [0, 0]]], np.uint8), "LA"), {}


@pytest.mark.parametrize(
    ("make", "first", "second"),
    [
        (
            lambda: (Image.fromarray(np.array([[[9, 9, 9, 255], [9, 9, 9, 0]]], np.uint8)), {}),
            (9, 9, 9),
            (255, 255, 255),
        ),
        (_palette_with_transparency, (255, 0, 0), (255, 255, 255)),
        (_grey_with_transparency, (100, 100, 100), (255, 255, 255)),
    ],
    ids=["RGBA", "palette", "grey"],
)
def test_transparency_lies_over_white(tmp_path, make, first, second):
    image, options = make()
    image.save(tmp_path / "a.png", **options)
    picture = read_picture(tmp_path / "a.png")
    assert picture.mode == "RGB"
    assert [picture.getpixel((x, 0)) for x in (0, 1)] == [first, second]


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_keep_their_greys(tmp_path, suffix):
    Image.fromarray(np.array([[0, 0x8080, 0xFFFF]], np.uint16)).save(tmp_path / f"a.{suffix}")
    picture = read_picture(tmp_path / f"a.{suffix}")
    assert [picture.getpixel((x, 0)) for x in range(3)] == [(0,) * 3, (128,) * 3, (255,) * 3]


def test_print_colours_are_converted(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    red, green, blue = read_picture(tmp_path / "a.jpg").getpixel((4, 4))
    assert red > 240
    assert max(green, blue) < 15


def test_the_first_frame_of_an_animation_is_taken(tmp_path):
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_picture(tmp_path / "a.gif").getpixel((0, 0)) == (255, 0, 0)


def test_what_does_not_open_is_named_with_a_reason(tmp_path):
    whole = tmp_path / "whole.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(whole)
    contents = {
        "cut.png": (whole.read_bytes()[:5000], "truncated"),
        "empty.png": (b"", "it is empty"),
        "text.png": (b"hello, world", "not a picture that Pillow knows"),
    }
    for name, (data, reason) in contents.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(PictureError, match=f"{name}: does not open: .*{reason}"):
            read_picture(tmp_path / name)
    with pytest.raises(PictureError, match=r"gone\.png: does not open: there is no such file"):
        picture_size(tmp_path / "gone.png")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "tiff"])
def test_no_damage_raises_anything_else(tmp_path, suffix):
    generator = np.random.default_rng(0)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    data = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(40):
        damaged = data.copy()
        places = generator.integers(0, len(data), 8)
        damaged[places] = generator.integers(0, 256, 8)
        path.write_bytes(damaged.tobytes())
        with suppress(PictureError):
            assert read_picture(path).mode == "RGB"


def test_size_is_measured_anew_when_the_file_changes(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 4)).save(path)
    assert picture_size(path) == (8, 4)
    Image.new("RGB", (9, 5)).save(path)
    os.utime(path, ns=(1, 1))
    assert picture_size(path) == (9, 5)
