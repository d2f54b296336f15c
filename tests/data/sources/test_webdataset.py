import copy
import hashlib
import io
import pickle
import tarfile
import unicodedata

import pytest
import torch

from sdtune.data.decoding import read_picture
from sdtune.data.order import Batches, BatchOrder, ResumableLoader
from sdtune.data.scan import scan_folder
from sdtune.data.sources import webdataset
from sdtune.data.sources.webdataset import expand_braces
from sdtune.data.style import StyleDataModule
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
    assert "cannot be read (the pattern names more than 100000 shards)" in str(problem)


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


def test_no_picture_has_the_captions_of_others_of_its_key(shard, tmp_path):
    members = {}
    for number in (1, 2):
        members |= {f"12.05.2023 00{number}.png": png(number)}
        members |= {f"12.05.2023 00{number}.txt": f"picture {number}"}
    path = shard({**members, "7.png": png(7), "7.txt": "seven", "7.negative.txt": "blurry, ugly"})
    scan = scan_folder(path, cache_dir=tmp_path / "cache")
    assert [(each.name, each.captions) for each in scan.pictures] == [
        ("shard-12.05.2023 001.png", ("picture 1",)),
        ("shard-7.png", ("seven",)),
    ]
    assert [str(each).removeprefix(f"{path}") for each in scan.problems] == [
        "/12: is one sample, for a name ends at its first dot, and holds 2 pictures with captions "
        "of their own (`12.05.2023 001.png`, `12.05.2023 002.png`); name them without further dots."
    ]
    assert [each.removeprefix(f"{path}: ") for each in scan.notes] == [
        "1 picture is left out, of samples that hold several: of shard.tar's `12` "
        "`12.05.2023 001.png` is read, and `12.05.2023 002.png` not.",
        "1 text is left out, named neither as the sample nor as its picture, such as shard.tar's "
        "`7.negative.txt`.",
    ]
    again = scan_folder(path, cache_dir=tmp_path / "cache")  # what the index kept
    assert [again.pictures, again.problems, again.notes] == [
        scan.pictures,
        scan.problems,
        scan.notes,
    ]


@pytest.mark.parametrize("text", ["1.json", "1.seg.json"])
def test_a_text_is_of_the_whole_key_or_of_its_pictures_name(shard, tmp_path, text):
    others = {"1.en.json": '{"text": "other"}', "1.de.caption": "anders"}
    path = shard({"1.seg.png": png(0), text: '{"text": "own"}', **others})
    (picture,) = scan_folder(path, cache_dir=tmp_path / "cache").pictures
    assert picture.captions == ("own",)


@pytest.mark.parametrize(
    ("picture", "texts", "captions"),
    [
        ("0.png", {"0.prompt.txt": "one"}, ["one"]),
        ("0.png", {"0.png.txt": "one", "0.de.txt": "eins"}, ["one"]),
        ("0.image.png", {"0.caption.txt": "one"}, ["one"]),
        ("0.image.png", {"0.meta.json": '{"text": "one"}'}, ["one"]),
        ("0.png", {"0.prompt.txt": "one", "0.negative_prompt.txt": "ugly"}, ["one"]),
        ("0.png", {"0.prompt.txt": "one", "0.meta.json": '{"text": "two"}'}, ["one"]),
        ("0.png", {"0.json": '{"width": 8}', "0.caption.txt": "one"}, ["one"]),
        ("0.png", {"0.negligee.txt": "one"}, ["one"]),
        ("negative/0.png", {"negative/0.prompt.txt": "one"}, ["one"]),
        ("0.png", {"0.negative.txt": "ugly"}, []),
        ("0.png", {"0.NEG.txt": "ugly"}, []),
        ("0.png", {"0.neg-prompt.txt": "ugly"}, []),
        ("0.png", {"0.en.txt": "one", "0.de.txt": "eins"}, []),
        ("12.05.2023 001.png", {"12.05.2023 002.txt": "of another"}, []),
    ],
)
def test_the_only_text_of_an_only_picture_is_its_caption(shard, tmp_path, picture, texts, captions):
    scan = scan_folder(shard({picture: png(0), **texts}), cache_dir=tmp_path / "cache")
    assert [each.caption for each in scan.pictures] == captions
    assert ["has no caption" in str(each) for each in scan.problems] == [True] * (not captions)
    left = len(texts) - len(captions) - any(name.endswith(".json") for name in texts)
    assert len(scan.notes) == (left > 0)


def test_names_in_a_shard_are_one_in_any_form_of_their_accents(shard, tmp_path):
    path = shard({unicodedata.normalize("NFD", "café.png"): png(0), "café.txt": "a cup"})
    scan = scan_folder(path, cache_dir=tmp_path / "cache")
    assert [each.caption for each in scan.pictures] == ["a cup"]
    assert scan.pictures[0].path.read_bytes() == png(0)


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
    assert list(map(str, scan.problems[1:])) == [
        f"{path}/link.png: {no_file}",
        f"{path}/hard.png: {no_file}",
        f"{path}/pipe.png: {no_file}",
        f"{path}/../../out.png: {leads_out}",
        f"{path}//root.png: {leads_out}",
        f"{path}/good.txt: is larger than 0 MB; leave it out.",
        f"{path}/good.png: has no caption; put a .txt or a .json with `text` of the same name "
        "into the shard.",
    ]
    assert str(scan.problems[0]).startswith(f"{path}/bad.png: does not open: it is not a picture")
    assert not (tmp_path / "cache" / "pictures").exists()  # nothing is unpacked


def test_a_shard_that_is_cut_off_or_packed_is_a_problem(shard, tmp_path):
    path = shard({"0.png": png(0), "0.txt": "one"})
    path.write_bytes(path.read_bytes()[:540])
    (problem,) = scan_folder(path, cache_dir=tmp_path / "cache").problems
    assert str(problem).startswith(
        f"{path}: is no whole tar file (unexpected end of data); make or "
    )
    with tarfile.open(tmp_path / "packed.tar", "w:gz"):
        pass
    (problem,) = scan_folder(tmp_path / "packed.tar").problems
    assert "is no whole tar file" in str(problem)


def test_pictures_are_read_where_they_lie(shard, tmp_path):
    path = shard({"0.png": png(0), "0.txt": "one", "a/1.png": png(1, (24, 16)), "a/1.txt": "two"})
    first, second = scan_folder(path, cache_dir=tmp_path / "cache").pictures
    assert [str(each.path) for each in (first, second)] == [f"{path}/0.png", f"{path}/a/1.png"]
    assert second.known_size == (24, 16)
    assert second.sha256 == hashlib.sha256(png(1, (24, 16))).hexdigest()
    for member in (
        second.path,
        copy.deepcopy(second.path),
        pickle.loads(pickle.dumps(second.path)),
    ):
        assert member.read_bytes() == png(1, (24, 16))
        assert read_picture(member).getpixel((0, 0)) == (20, 0, 0)
        assert member.stat().st_size == len(png(1, (24, 16)))
        assert member.is_file()
        assert (member.name, member.suffix, str(member.parent)) == ("1.png", ".png", f"{path}/a")
        with pytest.raises(OSError, match="which is read and not written"):
            member.open("w")
    assert not second.path.with_name("2.png").exists()
    assert [each.name for each in (tmp_path / "cache").iterdir()] == ["manifests"]


def _shards(shard, count=3, each=7):
    for number in range(count):
        members: dict[str, bytes | str] = {}
        for place in range(each):
            size = (24, 16) if place % 3 else (16, 24)
            members |= {f"{place}.png": png(number * each + place, size)}
            members |= {f"{place}.txt": f"picture {number * each + place}"}
        folder = shard(members, f"shards/{number:03}.tar").parent
    return folder


def _seen(data, processes, rank, skipped=0):
    """Give what a rank sees in the second epoch, from some batch on, read by another process."""
    order = BatchOrder(data.train_dataset, batch_size=2, seed=1, num_replicas=processes, rank=rank)
    order.resume(1, skipped)
    loader = ResumableLoader(
        Batches(data.train_dataset), batch_size=None, sampler=order, num_workers=rank
    )
    return [
        list(zip(batch["name"], batch["caption"], batch["pixel_values"].unbind(), strict=True))
        for batch in loader
    ]


def test_ranks_share_the_shards_and_resume_where_they_were(shard, tmp_path):
    folder = _shards(shard)
    data = StyleDataModule(folder, resolution=16, crop="random", cache_dir=tmp_path / "cache")
    whole = [_seen(data, 2, rank) for rank in range(2)]
    again = StyleDataModule(folder, resolution=16, crop="random", cache_dir=tmp_path / "new")
    for rank, batches in enumerate(whole):
        assert len(batches) == 6  # 9 and 12 pictures of two shapes, 4 at a time: 3 and 3
        rest = _seen(again, 2, rank, skipped=2)
        assert len(rest) == 4
        for expected, found in zip(batches[2:], rest, strict=True):
            for one, other in zip(expected, found, strict=True):
                assert one[:2] == other[:2]
                assert torch.equal(one[2], other[2])
    names = [name for batches in whole for batch in batches for name, _, _ in batch]
    assert len(set(names)) == 21
    assert len(names) <= 22  # one stands in where a batch does not go up
    alone = {name for batch in _seen(data, 1, 0) for name, _, _ in batch}
    assert alone == set(names)


def test_an_archive_beside_pictures_makes_no_shards_of_them(write, shard):
    folder = write({"0.png": 0, "0.txt": "one"})
    shard({"1.png": png(1), "1.txt": "two"}, "here/backup.tar")
    scan = scan_folder(folder)
    assert [each.caption for each in scan.pictures] == ["one"]
    assert "1 file is neither a picture nor a caption and is passed over (1 .tar)" in (
        scan.passed_over_line()
    )
    forced = scan_folder(folder, source="webdataset")
    assert [each.caption for each in forced.pictures] == ["two"]
    assert forced.notes == [f"{folder}: 1 picture beside the shards is left out."]
