from sdtune.bench.pictures import make_pictures
from sdtune.data.style import StyleDataModule


def test_many_pictures_are_links_to_few(tmp_path):
    folder = make_pictures(tmp_path / "set", 1_070, 16)
    files = list(folder.rglob("*.png"))
    assert len(files) == 1_070
    assert len({path.stat().st_ino for path in files}) == 64


def test_they_are_a_set_that_is_trained_on(tmp_path):
    folder = make_pictures(tmp_path / "set", 3, 16)
    data = StyleDataModule(folder, cache_dir=tmp_path / "cache")
    assert data.problems() == []
    assert data.captions() == ["cat number 0", "cat number 1", "cat number 2"]
