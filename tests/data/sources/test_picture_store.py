import hashlib

from sdtune.data.sources.picture_store import PictureStore
from tests.data.sources.conftest import png


def test_a_picture_is_written_once_under_its_hash(tmp_path):
    store = PictureStore(tmp_path)
    path = store.put(png(0))
    digest = hashlib.sha256(png(0)).hexdigest()
    assert path == tmp_path / "pictures" / f"{digest}.png"
    before = path.stat().st_mtime_ns
    assert store.put(png(0)) == path
    assert path.stat().st_mtime_ns == before
    assert [each.name for each in store.folder.iterdir()] == [path.name]


def test_a_file_that_was_cut_off_is_written_again(tmp_path):
    store = PictureStore(tmp_path)
    path = store.put(png(0))
    path.write_bytes(b"")
    assert store.put(png(0)).read_bytes() == png(0)


def test_the_suffix_is_that_of_its_name_or_of_its_content(tmp_path):
    store = PictureStore(tmp_path)
    assert store.put(b"anything", "a.WebP").suffix == ".webp"
    assert store.put(b"anything", "../../x.sh").suffix == ".png"
    assert store.put(b"anything", "../../x.sh").parent == tmp_path / "pictures"
    assert store.put(b"\xff\xd8\xff\xe0").suffix == ".jpg"
