from __future__ import annotations

from dataclasses import replace

from sdtune.drawing.settings import UsedAdapter, UsedBase
from sdtune.play.likeness import LARGEST_SEED, likeness


def test_a_picture_drawn_here_is_taken_over_whole(studio, asked, drawer, offered) -> None:
    wanted = replace(asked, strengths=(0.3, 0.0), checkpoints=("step_000001", ""), seed=9)
    found = likeness(studio.pair(wanted).tuned, drawer, offered)
    assert found.notes == []
    assert found.asked == wanted


def test_a_size_that_is_not_told_is_the_bases(first, drawer, offered) -> None:
    found = likeness(replace(first, width=None, height=None), drawer, offered)
    assert (found.asked.width, found.asked.height) == (drawer.resolution, drawer.resolution)


def test_what_the_page_does_not_have_is_told(first, drawer, offered) -> None:
    foreign = UsedAdapter("<b>" + 10_000 * "x", "1" * 64)
    strong = replace(first.adapters[0], strength=-2.0)
    settings = replace(
        first,
        base=UsedBase("other", "2" * 64),
        adapters=[foreign, strong],
        seed=2**60,
        precision="float16",
    )
    found = likeness(settings, drawer, offered)
    assert found.asked.strengths == (0.0, 0.0)
    assert found.asked.seed == LARGEST_SEED
    text = "\n".join(found.notes)
    assert "drawn with the base `other`; this page draws with `micro_sd`" in text
    assert "drawn in float16; this page draws in float32" in text
    assert "with the hash 1111111111, is not in this page: start `sdtune play` with it" in text
    assert "has the strength -2; the page's go from 0 to 1.2" in text
    assert f"Its seed is {2**60}" in text
    assert max(map(len, found.notes)) < 250


def test_a_path_in_a_picture_is_not_followed(first, drawer, offered, run, monkeypatch) -> None:
    monkeypatch.chdir(run)  # where the page's own folder would lead to it
    outside = replace(first, adapters=[replace(first.adapters[0], sha256="3" * 64, path="adapter")])
    found = likeness(outside, drawer, offered)
    assert len(found.notes) == 1
