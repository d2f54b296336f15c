import json
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from pydantic import FiniteFloat

from sdtune.files.confined_path import ConfinedPath
from sdtune.files.json_file import JsonFileError, parse_json, read_json, write_json


@dataclass(frozen=True)
class Inner:
    share: FiniteFloat
    name: str | None = None
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Outer:
    inner: dict[str, Inner]
    counts: list[int] = field(default_factory=list)
    place: ConfinedPath = "here"
    is_done: bool = True


def problems(value: Any) -> list[str]:
    with pytest.raises(JsonFileError) as caught:
        parse_json(Outer, json.dumps(value), "file")
    assert str(caught.value) == "\n".join(caught.value.problems)
    return [each.removeprefix("file: ") for each in caught.value.problems]


def test_numbers_lists_and_unknown_keys():
    value = {"inner": {"a": {"share": 1, "name": None}}, "counts": [1, 2], "later": True}
    read = parse_json(Outer, json.dumps(value), "file")
    assert read == Outer({"a": Inner(1.0)}, [1, 2])
    assert isinstance(read.inner["a"].share, float)


def test_all_that_does_not_fit_is_said_at_once():
    inner = {"share": "1", "name": 3, "kind": "c"}
    assert problems(
        {"inner": {"a": inner, "b": []}, "counts": [True, 1.5], "place": "../up", "is_done": 1}
    ) == [
        "Expected `inner.a.share` to be a number, but got '1'.",
        "Expected `inner.a.name` to be a text, but got 3.",
        "Expected `inner.a.kind` to be one of 'a' or 'b', but got 'c'.",
        "Expected `inner.b` to be a mapping, but got [].",
        "Expected `counts[0]` to be an integer, but got True.",
        "Expected `counts[1]` to be an integer, but got 1.5.",
        "Expected `place` to be a path below its folder, but got '../up'.",
        "Expected `is_done` to be true or false, but got 1.",
    ]
    assert problems({}) == ["Expected `inner` to be given, but it is missing."]
    assert problems([]) == ["Expected the whole to be a mapping, but got []."]
    assert problems({"inner": {"a": {"share": float("nan")}}}) == [
        "Expected `inner.a.share` to be a finite number, but got nan."
    ]


def test_what_is_too_long_is_cut():
    (problem,) = problems({"inner": "x" * 200})
    assert problem == f"Expected `inner` to be a mapping, but got '{'x' * 59}…."


def test_a_file_is_read_by_its_version(tmp_path):
    path = tmp_path / "outer.json"
    write_json(path, {"version": 2, "inner": {}})
    assert path.read_text() == '{\n "version": 2,\n "inner": {}\n}\n'
    assert read_json(Outer, path, version=2) == Outer({})
    for text, message in (
        ('{"version": 3}', "Expected version 2 of this file, but its `version` is 3."),
        ("[]", "Expected version 2 of this file, but its `version` is None."),
        ("{", "Expected JSON, but it is not: "),
    ):
        path.write_text(text)
        with pytest.raises(JsonFileError, match=f"outer.json: {message}"):
            read_json(Outer, path, version=2)
    path.write_bytes(b"\xff")
    with pytest.raises(JsonFileError, match=r"outer.json: Expected JSON in UTF-8, but "):
        read_json(Outer, path, version=2)


def test_what_is_not_finite_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "outer.json", [float("nan")])
    assert not list(tmp_path.iterdir())
