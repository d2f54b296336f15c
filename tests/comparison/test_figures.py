from PIL import Image

from sdtune.comparison.figures import draw_figure
from sdtune.comparison.settings import FigureSettings
from tests.comparison.runs import draw_pictures, make_result

SCORES = [1.0, 2.0, 3.0, 4.0]


def test_samples_have_the_base_above_and_a_row_for_each_run(tmp_path):
    results = [make_result(name, SCORES, folder=tmp_path) for name in ("a", "b")]
    for result in results:
        draw_pictures(result)
    path = tmp_path / "all.png"
    assert draw_figure(FigureSettings("F", "samples"), [*results, make_result("broken")], path)
    one = tmp_path / "one.png"
    assert draw_figure(FigureSettings("F", "samples", ["a"], prompts=[1]), results, one)
    with Image.open(path) as three_rows, Image.open(one) as one_row:
        assert three_rows.height - one_row.height >= 2 * 128
        assert three_rows.width - one_row.width >= 2 * 128  # the other prompt's two seeds
        greys = {colour for _, colour in one_row.getcolors(2**20)}
    assert (150, 150, 150) in greys
    assert (100, 100, 100) not in greys  # the base was not asked for


def test_curves_are_drawn_where_a_loss_was_logged(tmp_path):
    settings, path = FigureSettings("F", "loss_curves"), tmp_path / "curves.png"
    assert not draw_figure(settings, [make_result("a", SCORES), make_result("broken")], path)
    assert not path.exists()
    names = ["a", "$x^$", "_b"]
    assert draw_figure(settings, [make_result(each, SCORES, [0.5, 0.4]) for each in names], path)
    with Image.open(path) as curves:
        assert len(curves.convert("RGB").getcolors(2**20)) > 10
