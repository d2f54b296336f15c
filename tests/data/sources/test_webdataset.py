import io
import tarfile

import pytest

from sdtune.data.scan import scan_folder
from sdtune.data.sources import webdataset
from sdtune.data.sources.webdataset import WebDatasetSource, expand_braces
from tests.data.sources.conftest import png


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.tar", ["a.tar"]),
        ("a-{08..11}.tar", ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]),
        ("{x,y}-{0..1}", ["x-0", "x-1", "y-0", "y-1"]),
        ("a-{1..0}.tar", []),
    ],
)
def test_braces_are_written_out(pattern, names):
    assert expand_braces(pattern) == names


@pytest.mark.parametrize("pattern", ["{0..999999999}", "{0..999}{0..999}"])
def test_a_pattern_of_too_many_shards_is_refused_before_they_are_written_out(pattern):
    with pytest.raises(OSError, match="names more than 100000 shards"):
        expand_braces(pattern)
    (problem,) = scan_folder(f"shards-{pattern}.tar").problems
    assert "cannot be read (the pattern names more than 100000 shards)" in problem


def test_a_sample_ends_at_the_first_dot_of_its_name(shard, tmp_path):
    members = {
        "a.b/1.seg.png": png(0),
        "a.b/1.json": '{"caption": ["first", "second"], "artist": "x"}',
        "a.b/2.cls": "3",
    }
    path = shard(members)
    (picture,) = scan_folder(path, cache_dir=tmp_path / "cache").pictures
    assert (picture.name, picture.caption) == ("shard-a.b-1.seg.png", "first")
    (picture,) = scan_folder(path, cache_dir=tmp_path, caption_column="artist").pictures
    assert picture.caption == "x"


def test_what_is_no_picture_of_its_own_archive_is_refused(tmp_path, monkeypatch):
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(9))
    path = tmp_path / "evil.tar"
    monkeypatch.setitem(webdataset._LARGEST, ".txt", 5)
    with tarfile.open(path, "w") as archive:
        for name, kind in (("link.png", tarfile.SYMTYPE), ("hard.png", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, str(secret)
            archive.addfile(info)
        pipe = tarfile.TarInfo("pipe.png")
        pipe.type = tarfile.FIFOTYPE
        archive.addfile(pipe)
        contents = {
            **{"../../out.png": png(1), "/root.png": png(2), "good.png": png(3)},
            **{"good.txt": b"long text", "bad.png": b"no picture", "bad.caption": b"it"},
            "run.sh": b"exit 1",
        }
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    scan = scan_folder(path, cache_dir=tmp_path / "cache")
    assert scan.pictures == []
    no_file = "is a link or a device and no file; leave it out."
    leads_out = "its name leads out of the archive; name it otherwise."
    assert scan.problems[1:] == [
        f"{path}/link.png: {no_file}",
        f"{path}/hard.png: {no_file}",
        f"{path}/pipe.png: {no_file}",
        f"{path}/../../out.png: {leads_out}",
        f"{path}//root.png: {leads_out}",
        f"{path}/good.txt: is larger than 0 MB; leave it out.",
        f"{path}/good.png: has no caption; put a .txt or a .json with `text` of the same name "
        "into the shard.",
    ]
    assert scan.problems[0].startswith(f"{path}/bad.png: does not open: it is not a picture")
    written = sorted(each.read_bytes() for each in (tmp_path / "cache" / "pictures").iterdir())
    assert written == sorted([png(3), b"no picture"])


def test_a_shard_that_is_cut_off_or_packed_is_a_problem(shard, tmp_path):
    path = shard({"0.png": png(0), "0.txt": "one"})
    path.write_bytes(path.read_bytes()[:540])
    (problem,) = scan_folder(path, cache_dir=tmp_path / "cache").problems
    assert problem.startswith(f"{path}: is no whole tar file (unexpected end of data); make or ")
    with tarfile.open(tmp_path / "packed.tar", "w:gz"):
        pass
    (problem,) = scan_folder(tmp_path / "packed.tar").problems
    assert "is no whole tar file" in problem


def test_a_picture_twice_is_one_file(shard, tmp_path):
    path = shard({"0.png": png(0), "0.txt": "one", "1.png": png(0), "1.txt": "two"})
    first, second = scan_folder(path, cache_dir=tmp_path / "cache").pictures
    assert first.path == second.path
    assert (first.caption, second.caption) == ("one", "two")
    assert len(list((tmp_path / "cache" / "pictures").iterdir())) == 1


def test_a_tar_that_is_not_there_is_no_shard(tmp_path):
    assert WebDatasetSource().recognise(str(tmp_path / "a.tar")) is None
    assert "there is no such folder" in scan_folder(tmp_path / "a.tar").problems[0]


def test_an_archive_beside_pictures_makes_no_shards_of_them(write, shard):
    folder = write({"0.png": 0, "0.txt": "one"})
    shard({"1.png": png(1), "1.txt": "two"}, "here/backup.tar")
    scan = scan_folder(folder)
    assert [each.caption for each in scan.pictures] == ["one"]
    assert "1 files are neither pictures nor captions and are passed over (1 .tar)" in (
        scan.passed_over_line()
    )
    forced = scan_folder(folder, source="webdataset")
    assert [each.caption for each in forced.pictures] == ["two"]
    assert forced.notes == [f"{folder}: 1 pictures beside the shards are left out."]
