import struct

import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import masked_crc32c
from torch.utils.tensorboard import SummaryWriter

from sdtune.run_folder.curves import read_curves
from sdtune.run_folder.event_reading import event_lengths_until


@pytest.fixture
def run(tmp_path):
    for suffix, steps in ((".a", range(10)), (".b", range(10, 20))):
        with SummaryWriter(str(tmp_path), filename_suffix=suffix) as writer:
            for step in steps:
                writer.add_scalar("loss", step, step)
    # they are read by name, and within a second no clock decides which goes first
    for number, path in enumerate(sorted(tmp_path.iterdir(), key=lambda path: path.suffix)):
        path.rename(tmp_path / f"events.out.tfevents.{number}.host")
    return tmp_path


def events_of(run):
    return sorted(run.glob("events.out.*"))


def begins(content):
    """Give where each record begins."""
    found = [0]
    while found[-1] < len(content):
        found.append(found[-1] + 16 + int.from_bytes(content[found[-1] : found[-1] + 8], "little"))
    return found[:-1]


def record(data):
    length = struct.pack("<Q", len(data))
    sums = (struct.pack("<I", masked_crc32c(each)) for each in (length, data))
    return length + next(sums) + data + next(sums)


def test_whole_files_have_no_problem(run):
    problems = []
    curve = read_curves(run, problems)["loss"]
    assert list(curve.steps) == list(curve.values) == list(range(20))
    assert problems == []


@pytest.mark.parametrize("inside", [0, 8, 12, -1])
def test_a_changed_byte_ends_its_file_there_and_the_next_is_read(run, inside):
    path = events_of(run)[0]
    content = bytearray(path.read_bytes())
    starts = [*begins(content), len(content)]
    at = starts[5] if inside >= 0 else starts[6]  # version, steps 0 to 3, then this
    content[at + inside] ^= 0xFF
    path.write_bytes(content)
    problems = []
    assert list(read_curves(run, problems)["loss"].steps) == [*range(4), *range(10, 20)]
    assert problems == [
        f"{path} can be read only up to step 3: it is damaged at byte {starts[5]} of "
        f"{len(content)}, and what it held after that is in no curve."
    ]


@pytest.mark.parametrize("kept", [3, 10, 20, -1])
def test_a_file_that_is_cut_off_is_told_apart(run, kept):
    path = events_of(run)[1]
    content = path.read_bytes()
    start = begins(content)[4]
    end = start + kept if kept > 0 else begins(content)[5] - 1
    path.write_bytes(content[:end])
    problems = []
    assert list(read_curves(run, problems)["loss"].steps) == list(range(13))
    assert problems == [
        f"{path} can be read only up to step 12: it is cut off there, and what it held after that "
        "is in no curve."
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"no event file",
        bytes(100),
        record(b"\xff\xff no event"),
        # says that it is longer than all memory
        struct.pack("<Q", 2**60) + struct.pack("<I", masked_crc32c(struct.pack("<Q", 2**60))),
    ],
)
def test_what_is_no_event_is_never_taken_for_one(run, content):
    path = events_of(run)[0]
    version = record(Event(file_version="brain.Event:2").SerializeToString())
    path.write_bytes(version + content)
    problems = []
    assert list(read_curves(run, problems)["loss"].steps) == list(range(10, 20))
    assert len(problems) == 1
    assert problems[0].startswith(f"{path} cannot be read: it is ")


def test_all_up_to_a_step_ends_where_the_next_one_begins(tmp_path):
    """A step's numbers count from 0, and looks at it, such as scores, have the step's own."""
    with SummaryWriter(str(tmp_path)) as writer:
        for tag, number in (("loss", 0), ("loss", 1), ("val/loss", 1), ("eval/score", 2)):
            writer.add_scalar(tag, 0.0, number)
        writer.flush()
        (path,) = events_of(tmp_path)
        length = path.stat().st_size
        writer.add_scalar("lr", 0.0, 2)
        writer.add_scalar("loss", 0.0, 2)
    later = tmp_path / "events.out.tfevents.9.host"
    later.write_bytes(path.read_bytes()[length:])  # of a start that only took later steps
    assert event_lengths_until([path, later], 2) == {path.name: length, later.name: 0}
    assert event_lengths_until([path], 3) == {path.name: path.stat().st_size}
    path.write_bytes(path.read_bytes()[: length - 1])
    assert event_lengths_until([path], 3)[path.name] < length - 1  # what is cut off is dropped
