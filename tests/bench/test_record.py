from dataclasses import asdict, replace

import pytest

from sdtune.bench.kernels import Kernels, busy_time
from sdtune.bench.memory import Memory
from sdtune.bench.plots import draw_bench
from sdtune.bench.record import VERSION, Bench, Comparison, Growth, Row, Spread, spread
from sdtune.bench.tables import bench_markdown
from sdtune.files.json_file import JsonFileError, read_json, write_json

SECONDS = Spread(0.5, 0.4, 0.8)
ROW = Row(
    technique="style_lora",
    base="nano",
    resolution=64,
    precision="32-true",
    batch_size=6,
    images=6,
    rank=32,
    pictures=12,
    seconds=SECONDS,
    preparation=1.0,
    first_step=0.7,
    phases={
        "data": 0.1,
        "encode": 0.0,
        "forward": 0.4,
        "backward": 0.4,
        "optimizer": 0.05,
        "other": 0.05,
    },
    memory=Memory(1_000_000, 2, 3, 4, 5, 6),
    operations={"operations": 10.0, "dtype_copies": 0.0, "device_copies": 0.0, "waits": 1.0},
    flop=1e9,
    flop_use=0.5,
    gpu=Kernels(100.0, 2.0, 1.0, 0.0, 0.4),
    gpu_busy=0.8,
    others={"reference": Comparison(Spread(1.0, 1.0, 1.0), Spread(2.0, 1.9, 2.1))},
    without_room=["bare"],
)
FAILED = replace(ROW, technique="dreambooth", seconds=None, error="out of memory: tried to")
BENCH = Bench("sdtune bench", {"processor": "a"}, "those of the clock", {"32-true": 1e10}, [ROW])


def test_a_record_reads_as_it_was_written(tmp_path):
    bench = replace(BENCH, rows=[ROW, FAILED], growth=Growth("rank", [ROW]))
    write_json(tmp_path / "bench.json", asdict(bench))
    assert read_json(Bench, tmp_path / "bench.json", VERSION) == bench


def test_a_record_of_another_version_is_refused(tmp_path):
    write_json(tmp_path / "bench.json", {**asdict(BENCH), "version": VERSION + 1})
    with pytest.raises(JsonFileError, match="version"):
        read_json(Bench, tmp_path / "bench.json", VERSION)


def test_tables_have_one_width_and_say_what_failed():
    text = bench_markdown(replace(BENCH, rows=[ROW, FAILED], growth=Growth("rank", [ROW])))
    for block in text.split("###")[1:]:
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(line) for line in lines}) == 1
    speed = next(line for line in text.splitlines() if "| style_lora " in line)
    assert [cell.strip() for cell in speed.split("|")[1:-1]] == [
        "style_lora", "6", "2", "12", "1.00", "0.70", "-", "2.00 (1.90-2.10)", "no room"
    ]  # fmt: skip
    assert "out of memory: tried to" in text


@pytest.mark.parametrize("growth", [None, Growth("pictures", [ROW, replace(ROW, pictures=99)])])
def test_a_plot_is_a_png(growth, tmp_path):
    draw_bench(replace(BENCH, growth=growth), tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_images_count_those_of_all_processes():
    assert replace(ROW, devices=2).images_per_second == pytest.approx(2 * 6 / 0.5)
    assert FAILED.images_per_second is None


def test_a_spread_is_the_median_and_the_quartiles():
    assert spread([4.0, 1.0, 3.0, 2.0, 5.0]) == Spread(3.0, 2.0, 4.0)
    assert spread([7.0]) == Spread(7.0, 7.0, 7.0)


def test_spans_that_overlap_count_once():
    assert busy_time([(5, 6), (0, 2), (1, 3)]) == 4
