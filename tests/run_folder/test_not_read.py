import os

import pytest

from sdtune.run_folder.not_read import find_not_read


@pytest.fixture
def run(tmp_path):
    run = tmp_path / "run"
    (run / "adapter" / "best").mkdir(parents=True)
    (run / "checkpoints").mkdir()
    (tmp_path / "outside").mkdir()
    (run / "config.yaml").touch()
    (run / "adapter" / "inside").symlink_to(run / "config.yaml")
    (run / "adapter" / "best" / "out").symlink_to(tmp_path / "outside")
    (run / "checkpoints" / "last.ckpt").symlink_to(tmp_path / "outside")
    return run


def test_links_out_are_left_out_if_they_are_not_followed(run):
    found = find_not_read(run, follow=False)
    link = run / "adapter" / "best" / "out"
    assert found.links == [link]
    assert found.problems == [
        f"{link} is a link that leads out of the run's folder, and is left out."
    ]
    assert found.holds(link)
    assert found.holds(link / "below")
    assert not found.holds(link.parent)
    assert found.has_links_in(run / "adapter")
    assert not found.has_links_in(run / "adapter", {"best"})
    assert not found.has_links_in(link.parent, {"out"})
    assert find_not_read(run, follow=True).problems == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX's")
@pytest.mark.parametrize("follow", [True, False])
def test_what_is_no_file_is_left_out_in_any_case(run, follow):
    pipe = run / "adapter" / "pipe"
    os.mkfifo(pipe)
    (run / "resumes.json").symlink_to(pipe)
    found = find_not_read(run, follow=follow)
    assert found.specials == [pipe, run / "resumes.json"] or found.specials == [
        run / "resumes.json",
        pipe,
    ]
    assert f"{pipe} is a named pipe and no file, and is not opened." in found.problems
    assert found.holds(run / "resumes.json")
