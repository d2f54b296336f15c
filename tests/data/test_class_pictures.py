import multiprocessing

import pytest
import torch

from sdtune.data.class_pictures import FIRST_SEED, ClassPictures
from sdtune.data.decoding import read_picture
from sdtune.files.atomic_file import temporary_sibling


class Base:
    """Draws a grey that its seed decides, and writes down what it was asked for."""

    def __init__(self, fail_after=None):
        self.calls = []
        self.fail_after = fail_after

    def __call__(self, prompts, seeds):
        if len(self.calls) == self.fail_after:
            raise KeyboardInterrupt
        self.calls.append((prompts, seeds))
        return torch.stack([torch.full((3, 8, 8), (seed - FIRST_SEED) / 255) for seed in seeds])


@pytest.fixture
def make(tmp_path):
    def make(count=20, prompts=("a cat",), drawer="base"):
        return ClassPictures(tmp_path / "class_pictures", prompts, drawer, count)

    return make


def test_each_picture_is_drawn_once_from_a_seed_of_its_own(make):
    base = Base()
    make().make(base)
    assert [len(seeds) for _, seeds in base.calls] == [8, 8, 4]
    for number, path in enumerate(make().paths):
        assert read_picture(path).getpixel((3, 3)) == (number, number, number)
    make().make(base)
    assert len(base.calls) == 3


def test_more_pictures_of_the_same_kind_are_added(make):
    make(count=16).make(Base())
    base = Base()
    make(count=24).make(base)
    assert [seeds for _, seeds in base.calls] == [[FIRST_SEED + n for n in range(16, 24)]]


def test_an_interrupted_drawing_goes_on_and_ends_the_same(make, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make().make(Base(fail_after=1))
    first = make()
    assert first.missing() == list(range(8, 20))
    first.paths[2].write_bytes(b"")
    first.paths[3].write_bytes(first.paths[3].read_bytes()[:40])
    assert first.missing()[:2] == [2, 3]
    base = Base()
    first.make(base)
    # the same batches as in one go: the last bits of a picture depend on them
    assert [len(seeds) for _, seeds in base.calls] == [8, 8, 4]
    assert first.missing() == []
    assert read_picture(first.paths[3]).getpixel((0, 0)) == (3, 3, 3)
    assert not list(tmp_path.rglob("*.tmp"))


def test_another_drawer_or_prompt_finds_none(make):
    make().make(Base())
    assert len(make(drawer="another base").missing()) == 20
    assert len(make(prompts=("a dog",)).missing()) == 20


def test_prompts_are_taken_in_turn(make):
    base = Base()
    make(count=3, prompts=("a cat", "a cat face")).make(base)
    assert base.calls[0][0] == ["a cat", "a cat face", "a cat"]


def test_processes_share_the_work(make):
    bases = [Base(), Base()]
    for rank, base in enumerate(bases):
        make(count=32).make(base, rank, 2)
    assert [len(base.calls) for base in bases] == [2, 1]  # the second saw what the first had done
    assert make(count=32).missing() != []
    make(count=32).make(Base())
    assert make(count=32).missing() == []


def test_two_runs_fill_one_folder_at_once_and_clear_what_a_killed_one_left(make):
    context = multiprocessing.get_context("fork")
    killed = context.Process(target=_die_while_writing, args=(make(),))
    killed.start()
    killed.join()
    assert list(make().folder.glob(".*.tmp"))
    processes = [context.Process(target=make().make, args=(Base(),)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert make().missing() == []
    assert sorted(make().folder.iterdir()) == make().paths


def _die_while_writing(pictures):
    pictures.folder.mkdir(parents=True)
    temporary_sibling(pictures.paths[0]).write_bytes(b"half")


def test_numbers_that_are_not_finite_are_refused(make):
    with pytest.raises(ValueError, match="Expected finite pictures"):
        make().make(lambda prompts, seeds: torch.full((len(seeds), 3, 8, 8), float("nan")))
