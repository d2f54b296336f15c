import pytest
from PIL import Image

from sdtune.run_folder.grid_image import GridRow, draw_grid

RED, BLUE = (220, 30, 30), (30, 30, 220)


def tile(color, size=64):
    return Image.new("RGB", (size, size), color)


def row(label, *colors, size=64):
    return GridRow(label, [tile(color, size) for color in colors])


def extent(grid, color):
    """Bounding box of the pixels of one colour."""
    mask = Image.new("L", grid.size)
    pixels = grid.load()
    for x in range(grid.width):
        for y in range(grid.height):
            if pixels[x, y] == color:
                mask.putpixel((x, y), 255)
    return mask.getbbox()


@pytest.mark.parametrize(("size", "drawn"), [(64, 128), (48, 144), (256, 256), (512, 320)])
def test_tiles_are_drawn_at_a_size_that_can_be_read(size, drawn):
    grid = draw_grid([row("base", RED, size=size)], ["a cat"], [0])
    left, top, right, bottom = extent(grid, RED)
    assert (right - left, bottom - top) == (drawn, drawn)


def test_rows_go_down_and_prompts_across():
    rows = [row("base", RED, BLUE), row("step 200", BLUE, BLUE)]
    grid = draw_grid(rows, ["a", "b"], [0])
    left, top, right, bottom = extent(grid, RED)
    blue = extent(grid, BLUE)
    assert grid.getpixel((right + 60, top + 5)) == BLUE
    assert grid.getpixel((left + 5, bottom + 60)) == BLUE
    assert blue[0] == left
    assert blue[3] > bottom
    assert min(left, top, grid.width - blue[2], grid.height - blue[3]) >= 20


def test_long_prompts_make_the_header_higher_and_not_the_columns_wider():
    short = draw_grid([row("base", RED)], ["a cat"], [0])
    long = draw_grid([row("base", RED)], ["a turtle on a dotted pink and white ground"], [0])
    endless = draw_grid([row("base", RED)], ["very " * 100 + "w" * 200], [0])
    assert short.width == long.width == endless.width
    assert short.height < long.height <= endless.height < short.height + 80


def test_seeds_stand_side_by_side_under_their_prompt():
    one = draw_grid([row("base", RED, BLUE)], ["a", "b"], [0])
    two = draw_grid([row("base", RED, BLUE)], ["a"], [0, 1])
    assert two.width < one.width
    assert extent(two, BLUE)[0] - extent(two, RED)[2] == 4


def test_labels_are_drawn_left_of_their_row():
    grid = draw_grid([row("base", RED), row("step 200", RED)], ["a cat"], [0])
    left = extent(grid, RED)[0]
    dark = [
        grid.crop((0, y, left - 2, y + 128)).convert("L").getextrema()[0]
        for y in (extent(grid, RED)[1], extent(grid, RED)[1] + 132)
    ]
    assert all(value < 160 for value in dark)


def test_the_grid_is_the_same_every_time():
    rows = [row("base", RED, BLUE)]
    first = draw_grid(rows, ["a", "b"], [0], "25 steps")
    assert first.tobytes() == draw_grid(rows, ["a", "b"], [0], "25 steps").tobytes()


def test_wrong_rows_are_refused():
    with pytest.raises(ValueError, match="row `base` to have a tile per prompt and seed, 2, but"):
        draw_grid([row("base", RED)], ["a"], [0, 1])
    with pytest.raises(ValueError, match="at least one row"):
        draw_grid([], ["a"], [0])
