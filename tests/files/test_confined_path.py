import pytest

from sdtune.files.confined_path import confined_name, is_confined, lies_within


@pytest.mark.parametrize("path", ["a.png", "b/a.png", "./a", "..a/b..", "a:b.png", "a b"])
def test_paths_below_the_folder(path):
    assert is_confined(path)


@pytest.mark.parametrize(
    "path", ["", ".", "..", "../a", "a/../../b", "a/..", "/etc/passwd", "//a", "a\0b"]
)
def test_paths_that_lead_out_of_it(path):
    assert not is_confined(path)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("mine", "mine"),
        ("styles/ink v2", "ink v2"),
        ("/tmp/x/mine", "mine"),
        ("../../evil", "evil"),
        ("C:\\loras\\mine", "mine"),
        ("...hidden.", "hidden"),
        ("a\0b\n\x1b\u202ec", "abc"),
        ("ä" * 200, "ä" * 90),
        ("墨絵", "墨絵"),
    ],
)
def test_one_name_is_made_of_a_text(text, name):
    assert confined_name(text) == name
    assert is_confined(name)


@pytest.mark.parametrize("text", ["", ".", "..", "a/..", "a/", "\0", " . "])
def test_no_name_is_left_of_a_text(text):
    assert confined_name(text) == ""


def test_links_are_followed(tmp_path):
    folder = tmp_path / "real"
    folder.mkdir()
    (tmp_path / "alias").symlink_to(folder)
    (folder / "inside").symlink_to("a.png")
    (folder / "outside").symlink_to(tmp_path / "b.png")
    (folder / "up").symlink_to("..")
    (folder / "circle").symlink_to("circle")
    for name in ("inside", "a.png", "no/such"):
        assert lies_within(tmp_path / "alias" / name, folder)
        assert lies_within(folder / name, tmp_path / "alias")
    for name in ("outside", "up/b.png", "../real2/a"):
        assert not lies_within(folder / name, folder)
    lies_within(folder / "circle", folder)  # comes to an end
