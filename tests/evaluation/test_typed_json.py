from dataclasses import dataclass, field

import pytest

from sdtune.evaluation.typed_json import DecodeError, decode


@dataclass
class Inner:
    share: float
    name: str | None = None


@dataclass
class Outer:
    inner: dict[str, Inner]
    counts: list[int] = field(default_factory=list)


def test_numbers_lists_and_unknown_keys():
    value = {"inner": {"a": {"share": 1, "name": None}}, "counts": [1, 2], "later": True}
    assert decode(Outer, value) == Outer({"a": Inner(1.0)}, [1, 2])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "`inner` to be given"),
        ({"inner": {"a": {"share": "1"}}}, "`inner.a.share` to be int or float, but got '1'"),
        ({"inner": {}, "counts": [True]}, r"`counts\[0\]` to be int, but got True"),
        ({"inner": {"a": {"share": 1, "name": 3}}}, "`inner.a.name` to be str, but got 3"),
    ],
)
def test_what_does_not_fit_is_named(value, message):
    with pytest.raises(DecodeError, match=message):
        decode(Outer, value)
