import base64
import io

from PIL import Image

from sdtune.report.pictures import embed, embed_file


def decode(picture):
    kind, _, data = picture.source.partition(";base64,")
    assert kind == "data:image/webp"
    return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")


def test_a_small_picture_is_kept_to_the_pixel():
    image = Image.effect_noise((64, 48), 90).convert("RGB")
    picture = embed(image)
    assert (picture.width, picture.height, picture.is_small) == (64, 48, True)
    assert decode(picture).tobytes() == image.tobytes()


def test_a_large_picture_is_reduced():
    picture = embed(Image.new("RGB", (1024, 512), "teal"), side=512)
    assert (picture.width, picture.height, picture.is_small) == (512, 256, False)
    assert decode(picture).size == (512, 256)


def test_transparency_lies_over_white_and_what_does_not_open_is_none(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert decode(embed_file(tmp_path / "clear.png")).getpixel((0, 0)) == (255, 255, 255)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    assert embed_file(tmp_path / "broken.png") is None
    assert embed_file(tmp_path / "gone.png") is None
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "linked.png").symlink_to(tmp_path / "clear.png")
    assert embed_file(tmp_path / "run" / "linked.png") is not None
    assert embed_file(tmp_path / "run" / "linked.png", within=tmp_path / "run") is None
