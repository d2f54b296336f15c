"""Filling the templates: one file that needs no other."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import sdtune
from sdtune.files.atomic_file import replaced_atomically

__all__ = ["fill_page", "write_page"]


def write_page(template: str, path: Path, **values: Any) -> Path:
    """Fill a template and write the page, whole or not at all.

    Args:
        template: Its name, below `templates/`.
        path: Where the page goes; an existing one is replaced.
        **values: What the template needs; texts are escaped.

    Returns:
        `path`.
    """
    page = fill_page(template, **values)
    path = Path(path)
    with replaced_atomically(path) as temporary:
        # names of files may have bytes that are no text
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
    return path


def fill_page(template: str, **values: Any) -> str:
    """Fill a template.

    Args:
        template: Its name, below `templates/`.
        **values: What the template needs; texts are escaped.

    Returns:
        The page.
    """
    return (
        _environment()
        .get_template(template)
        .render(
            style=_text("style.css"),
            script=_text("script.js"),
            version=sdtune.__version__,
            **values,
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("sdtune.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _text(name: str) -> Markup:
    return Markup((files("sdtune.report") / "templates" / name).read_text(encoding="utf-8"))
