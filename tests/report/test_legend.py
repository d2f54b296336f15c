from matplotlib.figure import Figure

from sdtune.report.legend import draw_legend


def test_every_name_is_shown_as_it_is():
    axes = Figure().add_subplot()
    names = ["a$x^$", "_b", "c$1$d", "e\x1b"]
    draw_legend(axes, [(name, axes.plot([0, 1])[0]) for name in names], frameon=False)
    texts = axes.get_legend().get_texts()
    assert [each.get_text() for each in texts] == [*names[:3], r"e\x1b"]
    axes.figure.draw_without_rendering()
