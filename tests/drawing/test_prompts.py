from __future__ import annotations

import pytest

from sdtune.drawing.prompts import read_prompts


def test_prompts_of_a_file(tmp_path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("\ufeffa cat\n\n  a café  \r\n", encoding="utf-8")
    assert read_prompts(path) == ["a cat", "a café"]
    path.write_text("\n")
    with pytest.raises(ValueError, match=r"but .* is empty"):
        read_prompts(path)
    for wrong in (tmp_path, tmp_path / "gone.txt"):
        with pytest.raises(ValueError, match="cannot be read: "):
            read_prompts(wrong)
