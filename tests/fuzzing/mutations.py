"""Whole files, changed by hypothesis."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

__all__ = ["as_json", "changed_bytes", "changed_content"]

_NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([2**31, 2**63, -(2**64), 10**400]),
    st.sampled_from([0.0, -0.5, 1e308, float("nan"), float("inf")]),
)
_TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [
            "",
            "..",
            "../../etc/passwd",
            "/etc/passwd",
            "/dev/zero",
            "a\0b",
            "\ud800",
            "<script>alert(1)</script>",
            "{{ 7 * 7 }}",
            "%s%n",
            "os.system",
            "nan",
            "x" * 5000,
        ]
    ),
)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def changed_bytes(draw: st.DrawFn, whole: bytes) -> bytes:
    """Cut, flip, repeat and insert bytes, one to four times."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        # headers are at the beginning, and so are most changes
        ends = st.one_of(st.integers(0, min(len(content), 64)), st.integers(0, len(content)))
        first, last = sorted((draw(ends), draw(ends)))
        kind = draw(st.sampled_from(["flip", "cut", "repeat", "insert", "end"]))
        if kind == "flip" and content:
            content[min(first, len(content) - 1)] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del content[first:last]
        elif kind == "repeat":
            content[first:first] = content[first:last][:4096]
        elif kind == "insert":
            content[first:first] = draw(st.binary(max_size=16))
        elif kind == "end":
            del content[last:]
    return bytes(content)


@st.composite
def changed_content(draw: st.DrawFn, whole: Any) -> Any:
    """Replace, remove, repeat and add values in nested mappings and lists, one to three times."""
    content = [copy.deepcopy(whole)]
    for _ in range(draw(st.integers(1, 3))):
        parent, key = draw(st.sampled_from(_places(content)))
        kind = draw(st.sampled_from(["replace", "replace", "remove", "repeat", "add"]))
        if kind == "remove" and parent is not content:
            del parent[key]
        elif kind == "repeat" and isinstance(parent, list) and parent is not content:
            parent.extend([parent[key]] * draw(st.integers(1, 3)))
        elif kind == "add" and isinstance(parent, dict):
            parent[draw(_TEXTS)] = draw(_VALUES)
        else:
            parent[key] = draw(_VALUES)
    return content[0]


def _places(content: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        found.append((content, key))
        if isinstance(value, dict | list):
            found += _places(value)
    return found


def as_json(content: Any) -> bytes:
    """Write what JSON can hold, and what it cannot as Python's writer does."""
    return json.dumps(content).encode("utf-8", "surrogatepass")
