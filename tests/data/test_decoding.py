"""Pictures as people have them come out as they are meant to be seen."""

import io
import os
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from sdtune.data import decoding
from sdtune.data import orientation as orientation_module
from sdtune.data.decoding import (
    PictureError,
    header_size,
    read_alpha,
    read_mask,
    read_part,
    read_picture,
)
from sdtune.data.transforms import crop_box, cut_out

SRGB_CURVE = [2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045]
P3_PRIMARIES = (
    (0.51512, 0.2412, -0.00105),
    (0.29198, 0.69225, 0.04189),
    (0.1571, 0.06657, 0.78407),
)
SRGB_PRIMARIES = (
    (0.43607, 0.22249, 0.01392),
    (0.38515, 0.71687, 0.09708),
    (0.14307, 0.06061, 0.7141),
)


def make_profile(name="Display P3", primaries=P3_PRIMARIES, parameters=SRGB_CURVE) -> bytes:
    """An ICC profile: by default Display P3's primaries and sRGB's curve, as phones embed it."""

    def tag(kind: bytes, data: bytes) -> bytes:
        return kind + b"\0\0\0\0" + data

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(*values: float) -> bytes:
        return tag(b"XYZ ", b"".join(map(fixed, values)))

    text = name.encode("utf-16-be")
    description = tag(b"mluc", struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text)
    curve = tag(b"para", struct.pack(">HH", 3, 0) + b"".join(map(fixed, parameters)))
    tags = {
        b"desc": description,
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        **{
            kind: xyz(*each)
            for kind, each in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)
        },
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    offset, table, data = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        padded = content + b"\0" * (-len(content) % 4)
        table += name + struct.pack(">II", offset + len(data), len(content))
        data += padded
    size = offset + len(data)
    header = struct.pack(">I4sI", size, b"\0\0\0\0", 0x04000000) + b"mntrRGB XYZ " + b"\0" * 12
    header += b"acsp" + b"\0" * 28 + b"".join(map(fixed, (0.9642, 1.0, 0.8249))) + b"\0" * 48
    return header + struct.pack(">I", len(tags)) + table + data


def p3_to_srgb(levels: np.ndarray) -> np.ndarray:
    """Convert by the matrix of CSS Color 4 between the two spaces, which share their curve."""
    shares = levels / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    matrix = [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]]
    converted = np.clip(np.array(matrix) @ linear, 0, 1)
    low, high = converted * 12.92, 1.055 * converted ** (1 / 2.4) - 0.055
    return 255 * np.where(converted <= 0.0031308, low, high)


def with_chunk_behind_pixels(path, name, data):
    content = path.read_bytes()
    end = content.rindex(b"IEND") - 4
    chunk = struct.pack(">I", len(data)) + name + data
    chunk += struct.pack(">I", zlib.crc32(name + data))
    path.write_bytes(content[:end] + chunk + content[end:])


def photo(size, seed=0):
    """Something smooth with detail, as photos are."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


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
        "text.png": (b"hello, world", "not a picture in a format that is read here"),
    }
    for name, (data, reason) in contents.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(PictureError, match=f"{name}: does not open: .*{reason}"):
            read_picture(tmp_path / name)
    with pytest.raises(PictureError, match=r"gone\.png: does not open: there is no such file"):
        header_size(tmp_path / "gone.png")


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_of_a_phone_are_converted_to_srgb(tmp_path, mode):
    image = Image.new(mode, (4, 4), (200, 100, 50, 255)[: len(mode)])
    image.save(tmp_path / "a.png", icc_profile=make_profile())
    pixel = np.array(read_picture(tmp_path / "a.png").getpixel((1, 1)))
    assert abs(pixel - p3_to_srgb(np.array([200, 100, 50]))).max() <= 1.5
    assert abs(pixel - np.array([200, 100, 50])).max() >= 10


def test_srgb_and_untagged_pictures_keep_every_bit(tmp_path):
    image = photo((40, 30))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(tmp_path / "tagged.png", icc_profile=srgb)
    image.save(tmp_path / "plain.png")
    for name in ("tagged.png", "plain.png"):
        assert np.array_equal(np.asarray(read_picture(tmp_path / name)), np.asarray(image))


@pytest.mark.parametrize("name", ["sRGB IEC61966-2.1", "GIMP built-in sRGB"])
def test_profiles_that_act_as_srgb_keep_every_bit(tmp_path, name):
    rounded = [[round(value, 3) for value in each] for each in SRGB_PRIMARIES]
    for primaries in (SRGB_PRIMARIES, rounded):
        for mode in ("RGB", "L"):
            image = photo((40, 30)).convert(mode)
            image.save(tmp_path / "a.png", icc_profile=make_profile(name, primaries))
            assert read_picture(tmp_path / "a.png").tobytes() == image.convert("RGB").tobytes()


def test_profiles_that_are_only_called_srgb_are_converted(tmp_path):
    linear = make_profile("GIMP built-in Linear sRGB", SRGB_PRIMARIES, [1, 1, 0, 1, 0])
    Image.new("RGB", (4, 4), (55, 55, 55)).save(tmp_path / "a.png", icc_profile=linear)
    assert read_picture(tmp_path / "a.png").getpixel((1, 1)) == (128, 128, 128)
    wide = make_profile("P3-elle-V4-srgbtrc.icc")
    Image.new("RGB", (4, 4), (200, 100, 50)).save(tmp_path / "b.png", icc_profile=wide)
    pixel = np.array(read_picture(tmp_path / "b.png").getpixel((1, 1)))
    assert abs(pixel - p3_to_srgb(np.array([200, 100, 50]))).max() <= 1.5


def test_a_broken_profile_is_told_and_the_picture_read(tmp_path, caplog):
    Image.new("RGB", (4, 4), (200, 100, 50)).save(tmp_path / "a.png", icc_profile=b"no profile")
    assert read_picture(tmp_path / "a.png").getpixel((0, 0)) == (200, 100, 50)
    assert "a.png: its colour profile cannot be used" in caplog.text


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_greys_are_scaled_by_the_bits_that_they_use(tmp_path, bits):
    top = 2**bits - 1
    levels = np.array([[0, top // 4, top // 2, top]], np.uint16)
    Image.fromarray(levels).save(tmp_path / "a.png")
    found = np.asarray(read_picture(tmp_path / "a.png"))[0, :, 0]
    np.testing.assert_allclose(found, [0, 63.75, 127.5, 255], atol=1)


def test_a_dark_sixteen_bit_picture_stays_dark(tmp_path):
    Image.fromarray(np.array([[0, 60, 120]], np.uint16)).save(tmp_path / "a.png")
    assert np.asarray(read_picture(tmp_path / "a.png")).max() < 60


def save_negative(path, levels, bits):
    """A TIFF of one row whose white is zero."""
    pixels = np.array(levels).astype(f"<u{bits // 8}").tobytes()
    tags = [(256, len(levels)), (257, 1), (258, bits), (259, 1), (262, 0), (273, 8), (277, 1)]
    tags += [(278, 1), (279, len(pixels))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    start = struct.pack("<2sHI", b"II", 42, 8 + len(pixels))
    path.write_bytes(start + pixels + struct.pack("<H", len(tags)) + entries + bytes(4))


@pytest.mark.parametrize(("bits", "used"), [(8, 8), (16, 8), (16, 12), (16, 16)])
def test_a_tiff_whose_white_is_zero_is_inverted(tmp_path, bits, used):
    path, top = tmp_path / "a.tif", 2**used - 1
    save_negative(path, [0, round(top * 64 / 255), top], bits)
    for read in (read_picture, read_mask):
        assert np.asarray(read(path).convert("L")).tolist() == [[255, 191, 0]]


def test_a_mask_of_two_labels_whose_white_is_zero_is_black_and_white(tmp_path):
    save_negative(tmp_path / "a.tif", [0, 1], 16)
    assert np.asarray(read_mask(tmp_path / "a.tif")).tolist() == [[255, 0]]


def save_with_clear(path, kind, bits, row, clear):
    """A PNG of two pixels, one colour of which is transparent; kinds are 0 for grey, 2 for RGB."""
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", 2, 1, bits, kind, 0, 0, 0),
        b"tRNS": struct.pack(f">{len(clear)}H", *clear),
        b"IDAT": zlib.compress(b"\0" + row),
        b"IEND": b"",
    }
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in chunks.items()
        )
    )


@pytest.mark.parametrize(
    ("kind", "clear"), [(0, (30000,)), (0, (0,)), (2, (65535, 0, 65535)), (2, (0, 0, 200))]
)
def test_a_transparent_colour_of_sixteen_bits_is_transparent(tmp_path, kind, clear):
    path, seen = tmp_path / "a.png", (0x8080,) * len(clear)
    save_with_clear(path, kind, 16, struct.pack(f">{2 * len(clear)}H", *clear, *seen), clear)
    assert np.asarray(read_alpha(path)).tolist() == [[0, 255]]
    assert np.asarray(read_picture(path)).tolist() == [[[255] * 3, [128] * 3]]
    assert np.asarray(read_mask(path)).tolist() == [[0, 128]]


def test_a_transparent_colour_of_sixteen_bits_is_none_of_eight(tmp_path):
    path = tmp_path / "a.png"
    row = struct.pack(">6H", 0, 0, 0xFF00, 0x100, 0, 0)
    save_with_clear(path, 2, 16, row, (0, 0, 255))
    assert np.asarray(read_alpha(path)).tolist() == [[255, 255]]
    assert np.asarray(read_picture(path)).tolist() == [[[0, 0, 255], [1, 0, 0]]]


@pytest.mark.parametrize(
    ("kind", "bits", "row", "clear", "opaque"),
    [
        (0, 1, b"\x40", (0,), 255),
        (0, 2, b"\x90", (2,), 85),
        (0, 4, b"\x5a", (5,), 170),
        (0, 8, b"\x05\x0a", (5,), 10),
        (2, 8, b"\0\0\xc8\x0a\x0a\x0a", (0, 0, 200), 10),
    ],
)
def test_a_transparent_colour_of_up_to_eight_bits_is_transparent(
    tmp_path, kind, bits, row, clear, opaque
):
    save_with_clear(tmp_path / "a.png", kind, bits, row, clear)
    assert np.asarray(read_alpha(tmp_path / "a.png")).tolist() == [[0, 255]]
    assert np.asarray(read_picture(tmp_path / "a.png")).tolist() == [[[255] * 3, [opaque] * 3]]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "gif", "bmp", "avif"])
def test_sizes_come_from_headers(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"a.{suffix}"
    photo((48, 32)).save(path)
    loaded = []
    monkeypatch.setattr(Image.Image, "load", lambda self: loaded.append(1))
    assert header_size(path) == (48, 32)
    assert not loaded


XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{}"/></rdf:RDF></x:xmpmeta>'
)
RAW_PROFILE = "Raw profile type exif"


def exif_saying(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def in_exif(image, path, orientation):
    image.save(path, exif=exif_saying(orientation))


def in_xmp(image, path, orientation):
    xmp = XMP.format(orientation)
    if path.suffix == ".png":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp, zip=orientation % 2 == 0)
        image.save(path, pnginfo=text)
    elif path.suffix == ".tiff":
        image.save(path, tiffinfo={700: xmp.encode()})
    else:
        image.save(path, xmp=xmp.encode())


def in_a_raw_profile(image, path, orientation):
    """As ImageMagick keeps EXIF in a PNG."""
    exif = exif_saying(orientation).tobytes()
    text = PngImagePlugin.PngInfo()
    text.add_text(RAW_PROFILE, f"\nexif\n{len(exif):8}\n{exif.hex()}\n", zip=orientation % 2 == 0)
    image.save(path, pnginfo=text)


def behind_the_pixels(name):
    def save(image, path, orientation):
        image.save(path)
        exif = exif_saying(orientation).tobytes()
        data = {
            b"eXIf": exif.removeprefix(b"Exif\0\0"),
            b"iTXt": b"XML:com.adobe.xmp\0\0\0\0\0" + XMP.format(orientation).encode(),
            b"tEXt": f"{RAW_PROFILE}\0\nexif\n{len(exif):8}\n{exif.hex()}\n".encode(),
        }
        with_chunk_behind_pixels(path, name, data[name])

    return save


def in_both_which_disagree(image, path, orientation):
    """EXIF is believed."""
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP.format(1))
    image.save(path, pnginfo=text, exif=exif_saying(orientation))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("suffix", "save"),
    [
        *((suffix, in_exif) for suffix in ("png", "jpg", "tiff", "webp", "avif")),
        *((suffix, in_xmp) for suffix in ("png", "jpg", "tiff", "webp", "avif")),
        ("png", in_a_raw_profile),
        ("png", in_both_which_disagree),
        *(("png", behind_the_pixels(name)) for name in (b"eXIf", b"iTXt", b"tEXt")),
    ],
)
def test_header_and_pixels_are_turned_alike(tmp_path, suffix, save, orientation):
    path = tmp_path / f"a.{suffix}"
    seen = Image.new("RGB", (192, 128), "blue")
    for colour, left in (("red", 0), ("lime", 96)):
        seen.paste(colour, (left, 0, left + 96, 64))
    # what is stored, so that turning it gives what is to be seen
    undone = {**orientation_module._TURNS, 6: Image.Transpose.ROTATE_90}
    undone[8] = Image.Transpose.ROTATE_270
    turn = undone.get(orientation)
    save(seen if turn is None else seen.transpose(turn), path, orientation)

    size = header_size(path)
    assert size == (192, 128)
    for found in (read_picture(path), read_part(path, size, (0, 0, *size))):
        assert found.size == size
        assert abs(np.asarray(found, float) - np.asarray(seen, float)).mean() < 4
    corner = read_part(path, (48, 32), (0, 0, 96, 64))
    assert abs(np.asarray(corner, float) - (255, 0, 0)).mean() < 4
    assert read_mask(path).size == size


def test_a_mask_and_transparency_are_turned_as_the_picture(tmp_path):
    image = Image.new("RGBA", (48, 32), (0, 0, 0, 0))
    image.paste((255, 255, 255, 255), (0, 16, 48, 32))  # below; turned to the right, it is left
    in_xmp(image, tmp_path / "a.png", 6)
    for found in (read_mask(tmp_path / "a.png"), read_alpha(tmp_path / "a.png")):
        assert found.size == (32, 48)
        assert (found.getpixel((2, 2)), found.getpixel((30, 2))) == (255, 0)


def test_words_behind_a_pngs_pixels_do_not_cost_its_pixels(tmp_path, monkeypatch):
    behind_the_pixels(b"iTXt")(photo((48, 32)), tmp_path / "a.png", 6)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("pixels are decoded"))
    assert header_size(tmp_path / "a.png") == (32, 48)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("position", [(0.5, 0.5), (0.1, 0.9)])
def test_a_large_jpeg_decoded_small_looks_the_same(tmp_path, orientation, position):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    photo((1210, 907)).save(path, exif=exif, quality=95)
    whole = read_picture(path)
    box = crop_box(whole.size, (64, 48), position)
    expected = np.asarray(cut_out(whole, (64, 48), box), np.float32)
    found = np.asarray(read_part(path, (64, 48), box), np.float32)
    assert abs(found - expected).mean() < 2
    assert abs(found - expected).max() <= 16
    # a place that is off by a pixel of the result would show
    shifted = np.roll(expected, 1, axis=1)
    assert abs(found - expected).mean() < abs(shifted - expected).mean() / 4


def test_a_part_of_a_picture_that_is_not_much_larger_has_the_same_bits(tmp_path):
    for name in ("a.jpg", "a.png"):
        photo((300, 200)).save(tmp_path / name)
        whole = read_picture(tmp_path / name)
        box = crop_box(whole.size, (128, 128))
        expected = cut_out(whole, (128, 128), box)
        assert np.array_equal(
            np.asarray(read_part(tmp_path / name, (128, 128), box)), np.asarray(expected)
        )


def test_only_formats_that_are_meant_are_opened(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *a, **k: started.append(1))
    content = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(PictureError, match="not a picture in a format that is read here"):
        read_picture(tmp_path / "a.png")
    assert not started


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_and_a_folder_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").mkdir()
    for name in ("a.png", "b.png"):
        for read in (header_size, read_picture):
            with pytest.raises(PictureError, match=f"{name}: does not open: it is not a file"):
                read(tmp_path / name)


def test_a_gigapixel_picture_is_refused_by_its_header(tmp_path):
    header = struct.pack(">IIBBBBB", 50_000, 40_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header
    chunk += struct.pack(">I", zlib.crc32(b"IHDR" + header))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 9) + b"IDAT")
    for read in (header_size, read_picture):
        with pytest.raises(PictureError, match="than 180 million"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize(("suffix", "package"), [("heic", "pillow-heif"), ("jxl", "pillow-jxl")])
def test_a_missing_plug_in_is_named(tmp_path, suffix, package, monkeypatch):
    monkeypatch.setitem(decoding._PLUGINS, f".{suffix}", (False, package))
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 64)
    with pytest.raises(PictureError, match=f"need a plug-in: pip install {package}"):
        read_picture(path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "tiff", "bmp"])
def test_no_damage_raises_anything_else(tmp_path, suffix):
    generator = np.random.default_rng(0)
    path = tmp_path / f"a.{suffix}"
    content = io.BytesIO()
    photo((16, 16)).save(content, format={"jpg": "JPEG"}.get(suffix, suffix), exif=b"")
    data = np.frombuffer(content.getvalue(), np.uint8)
    for _ in range(60):
        damaged = data[: generator.integers(1, len(data) + 1)].copy()
        places = generator.integers(0, len(damaged), 8)
        damaged[places] = generator.integers(0, 256, 8)
        path.write_bytes(damaged.tobytes())
        with suppress(PictureError):
            header_size(path)
        with suppress(PictureError):
            assert read_picture(path).mode == "RGB"


@pytest.mark.parametrize("white", [1, 255, 1023, 65535])
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_white_of_a_sixteen_bit_mask_is_white(tmp_path, white, suffix):
    levels = np.zeros((8, 8), np.uint16)
    levels[:, 4:] = white
    Image.fromarray(levels).save(tmp_path / f"a.{suffix}")
    found = np.asarray(read_mask(tmp_path / f"a.{suffix}"))
    assert (found == np.where(levels, 255, 0)).all()


def test_greys_of_a_mask_of_eight_bits_in_sixteen_stay(tmp_path):
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(levels).save(tmp_path / "a.png")
    Image.fromarray(levels.astype(np.uint8)).save(tmp_path / "b.png")
    wide, narrow = (np.asarray(read_mask(tmp_path / name)) for name in ("a.png", "b.png"))
    assert (wide == narrow).all()
    assert (wide == levels).all()
