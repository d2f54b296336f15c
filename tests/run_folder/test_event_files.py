from sdtune.run_folder.event_files import event_lengths, forget_events


def test_what_is_after_a_checkpoint_is_cut_off_and_nothing_else(tmp_path):
    old, new = (tmp_path / f"events.out.tfevents.{number}.host.1.0" for number in (1, 2))
    other = tmp_path / "metrics.csv"
    old.write_bytes(b"before")
    lengths = event_lengths(tmp_path)
    assert lengths == {old.name: 6}
    old.write_bytes(b"before and after")
    new.write_bytes(b"a start that got to no checkpoint")
    other.write_bytes(b"not ours")
    forget_events([old, new], lengths)
    assert old.read_bytes() == b"before"
    assert not new.exists()
    forget_events([old, new], {**lengths, new.name: 3})  # once more, of what is gone
    forget_events([old, new], lengths)
    assert not new.exists()
    assert other.read_bytes() == b"not ours"
    forget_events([old], {old.name: 100})  # what the disk has lost cannot be cut off
    assert old.read_bytes() == b"before"
