from dataclasses import replace

import pytest
from matplotlib.legend import Legend
from PIL import Image

from sdtune.comparison.figures import draw_figure, draw_figures
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


def test_the_base_alone_is_drawn_alone(tmp_path):
    results = [make_result(name, SCORES, folder=tmp_path) for name in ("a", "b")]
    draw_pictures(results[0])
    path = tmp_path / "base.png"
    assert draw_figure(FigureSettings("F", "samples", ["base"]), results, path)
    with Image.open(path) as picture:
        greys = {colour for _, colour in picture.getcolors(2**20)}
    assert (100, 100, 100) in greys
    assert (150, 150, 150) not in greys
    failed = [results[0], make_result("broken")]
    assert not draw_figure(FigureSettings("F", "samples", ["broken"]), failed, path)


def test_a_figure_that_cannot_be_drawn_keeps_no_other_from_it(tmp_path):
    result = make_result("a", SCORES, [0.5, 0.4], folder=tmp_path)
    asked = [
        FigureSettings("Gone", "samples"),
        FigureSettings("Many", "samples", prompts=[0, 7]),
        FigureSettings("Curves", "loss_curves"),
    ]
    gone, many, curves = draw_figures(asked, [result])
    assert gone.problem.startswith("The figure `Gone` could not be drawn: ")
    assert "prompt" in gone.problem  # a picture's name
    assert many.problem.endswith("among the 2 that were evaluated, counted from 0, but got 7.")
    assert gone.png == many.png == b""
    assert curves.png.startswith(b"\x89PNG")


@pytest.mark.parametrize("label", ["price $1 vs $x^$", "_private"])
def test_a_legend_has_labels_as_they_are(tmp_path, monkeypatch, label):
    legends = []
    draw = Legend.draw
    monkeypatch.setattr(Legend, "draw", lambda it, *rest: (legends.append(it), draw(it, *rest)))
    result = replace(make_result("a", SCORES, [0.5, 0.4]), label=label)
    assert draw_figure(FigureSettings("F", "loss_curves"), [result], tmp_path / "curves.png")
    assert [text.get_text() for text in legends[-1].get_texts()] == [label]
