import io

import numpy as np
from PIL import Image

from sdtune.nano.making.sprites import SpriteBook, render


def _webp(image):
    content = io.BytesIO()
    image.save(content, "WEBP", lossless=True, exact=True)
    return content.getvalue()


def test_a_book_knows_who_draws_what(sprites):
    book = SpriteBook(sprites)
    assert book.styles == {
        "apple": ("blob", "noto"),
        "pizza": ("blob", "noto"),
        "jack-o-lantern": ("noto",),
    }
    assert {sprite.mode for sprite in book.sprites.values()} == {"RGBa"}
    assert book.sprites["noto", "apple"].size == (96, 96)


def test_a_picture_of_the_size_stays_as_it_is():
    image = Image.effect_noise((8, 8), 50).convert("RGBA")
    assert render(_webp(image), 8).tobytes() == image.tobytes()


def test_colours_that_cannot_be_seen_do_not_bleed_into_the_edge():
    image = Image.new("RGBA", (8, 8), (0, 255, 0, 0))  # green, but transparent
    image.paste((255, 0, 0, 255), (0, 0, 5, 8))
    small = np.asarray(render(_webp(image), 4)).astype(int)
    assert small[0, :, 3].tolist() == [255, 255, 128, 0]
    seen = small[small[..., 3] > 0]
    assert (seen[:, :3] == [255, 0, 0]).all()
