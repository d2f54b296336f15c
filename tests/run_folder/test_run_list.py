import os

from sdtune.run_folder.run_list import newest_run


def started(folder, at):
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 1\n")
    os.utime(folder / "config.yaml", (at, at))
    return folder


def test_the_newest_run_is_the_one_that_was_started_last(tmp_path):
    assert newest_run(tmp_path / "gone") is None
    assert newest_run(tmp_path) is None
    old = started(tmp_path / "style_lora" / "version_0", 100)
    new = started(tmp_path / "compare" / "adamw" / "0123456789ab", 200)
    started(tmp_path / "a" / "b" / "c" / "deeper", 900)
    assert newest_run(tmp_path) == new
    assert newest_run(tmp_path / "style_lora") == old
    assert newest_run(old) == old
    (old / "config_2.yaml").write_text("seed: 1\n")  # it was resumed just now
    os.utime(old / "config_2.yaml", (300, 300))
    assert newest_run(tmp_path) == old
    begun = tmp_path / "style_lora" / "version_1"
    begun.mkdir()
    (begun / ".lock").touch()  # and has not written its recipe yet
    assert newest_run(tmp_path) == begun
