from sdtune.run_folder.event_files import EVENT_FILES, event_lengths, forget_events


def test_what_was_written_after_the_checkpoint_is_cut_off(tmp_path):
    first, second = (tmp_path / f"events.out.tfevents.{n}" for n in (1, 2))
    first.write_bytes(b"kept")
    lengths = event_lengths(tmp_path)
    first.write_bytes(b"kept and not")
    second.write_bytes(b"of a later start")
    forget_events(list(tmp_path.glob(EVENT_FILES)), lengths)
    assert first.read_bytes() == b"kept"
    assert not second.exists()


def test_what_a_link_leads_to_is_left_alone(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "letter").write_text("a long letter")
    name = "events.out.tfevents.1"
    (tmp_path / "run" / name).symlink_to(tmp_path / "letter")
    for lengths in ({name: 0}, {}):
        forget_events([tmp_path / "run" / name], lengths)
        assert (tmp_path / "letter").read_text() == "a long letter"
