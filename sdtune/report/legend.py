"""Legends whose names are texts, whatever they look like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sdtune.files.printable_text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_legend"]


def draw_legend(axes: Axes, named: Sequence[tuple[str, Any]], **style: Any) -> None:
    r"""Name what is drawn, by names of folders, tags and the like.

    matplotlib takes `$x^$` for a formula, which may be wrong, and leaves out a name like `_b`.

    Args:
        axes: Where it is drawn.
        named: Each name and what `axes.plot` or `axes.errorbar` has given for it.
        **style: What `axes.legend` takes besides.
    """
    names, handles = [printable(name) for name, _ in named], [handle for _, handle in named]
    for text in axes.legend(handles, names, **style).get_texts():
        text.set_parse_math(False)
