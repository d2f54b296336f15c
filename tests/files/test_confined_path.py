import pytest

from sdtune.files.confined_path import is_confined


@pytest.mark.parametrize("path", ["a.png", "b/a.png", "./a", "..a/b..", "a:b.png", "a b"])
def test_paths_below_the_folder(path):
    assert is_confined(path)


@pytest.mark.parametrize(
    "path", ["", ".", "..", "../a", "a/../../b", "a/..", "/etc/passwd", "//a", "a\0b"]
)
def test_paths_that_lead_out_of_it(path):
    assert not is_confined(path)
