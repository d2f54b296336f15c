from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fast_part import some_fast
from tests.fuzzing.mutations import changed_bytes, changed_content
from tests.fuzzing.targets import CONTENTS, FILES, Target

CASES = int(os.environ.get("SDTUNE_FUZZ_CASES", "15"))
SLOW = {"recipe", "record"}  # more is done with what is read of them
SECONDS = 60.0  # on a busy machine; what hangs takes for ever

fuzzed = settings(
    max_examples=CASES,
    deadline=None,
    database=None,
    derandomize=CASES < 100,  # the suite tries the same cases every time
    suppress_health_check=list(HealthCheck),
)


def survives(target: Target, content: bytes, folder: Path) -> None:
    """Show a parser a file: it takes it, or says what is wrong and with which file."""
    path = folder / target.file_name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    start = time.monotonic()
    refusal = None
    try:
        said = str(target.parse(path))
    except (ValueError, OSError) as error:
        said, refusal = str(error), type(error).__name__
    assert refusal is None or path.name in said, f"{refusal} names no file: {said[:300]}"
    assert time.monotonic() - start < SECONDS
    said.encode()  # what is said can be written down
    assert "weights_only" not in said
    assert set(folder.parent.iterdir()) == {folder}


@pytest.mark.parametrize("name", some_fast(FILES, {*FILES} - SLOW))
@fuzzed
@given(data=st.data())
def test_changed_bytes_are_read_or_refused(name, data, tmp_path_factory):
    target = FILES[name]
    folder = _folder(target, tmp_path_factory)
    survives(target, data.draw(changed_bytes(target.whole)), folder)


@pytest.mark.parametrize("name", some_fast(CONTENTS, {*CONTENTS} - SLOW))
@fuzzed
@given(data=st.data())
def test_changed_contents_are_read_or_refused(name, data, tmp_path_factory):
    target = CONTENTS[name]
    folder = _folder(target, tmp_path_factory)
    survives(target, target.write(data.draw(changed_content(target.whole))), folder)


@pytest.mark.parametrize("name", FILES)
def test_whole_files_are_read(name, tmp_path_factory):
    target = FILES[name]
    path = _folder(target, tmp_path_factory) / target.file_name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(target.whole)
    target.parse(path)


_folders: dict[str, Path] = {}


def _folder(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all cases of a file: what a case leaves is overwritten by the next."""
    if target.file_name not in _folders:
        folder = tmp_path_factory.mktemp("fuzzing") / "run"
        folder.mkdir()
        _folders[target.file_name] = folder
    return _folders[target.file_name]
