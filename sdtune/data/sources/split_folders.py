"""Folders that are called as splits are: which are for training, and which are held out."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Set
from functools import cache
from pathlib import Path

from sdtune.data.image_folder import is_folder

__all__ = ["split_note", "training_splits"]

# the words of `datasets`, and what it takes for the end of one: `developer` and `contest` hold none
_TRAIN = ("train", "training")
_HELD_OUT = ("validation", "valid", "dev", "val", "test", "testing", "eval", "evaluation")
_WORD = re.compile(rf"(?<![^-._ \d])({'|'.join((*_TRAIN, *_HELD_OUT))})(?![^-._ \d])", re.I)
_NAMED = 20  # in a sentence


def training_splits(folder: Path, inside: Iterable[Path]) -> set[Path]:
    """Find the splits for training: folders beside which another split lies.

    Such are `train` beside `val`, and `cats_train` beside `cats_test`: what stands around the word
    is the same. Alone such a name may mean anything, as `cars/train` beside `cars/bus`.

    Args:
        folder: Where to look, at any depth.
        inside: Folders below it; they and those that they lie in are looked at.

    Returns:
        Those splits.
    """

    @cache
    def splits_in(parent: Path) -> set[Path]:
        named: dict[tuple[str, str], dict[bool, set[Path]]] = defaultdict(lambda: defaultdict(set))
        with os.scandir(parent) as entries:
            names = [each.name for each in entries if is_folder(each)]
        for name in names:
            for word in _WORD.finditer(name.lower()):
                around = word.string[: word.start()], word.string[word.end() :]
                named[around][word[1] in _TRAIN].add(parent / name)
        return {each for kinds in named.values() if len(kinds) == 2 for each in kinds[True]}

    parents = {each.parent for path in {*inside} for each in _down_to(folder, path)}
    return set().union(*map(splits_in, parents))


def split_note(folder: Path, inside: Collection[Path], splits: Set[Path]) -> list[str]:
    """Say which folders are trained on though they are called as splits, in a sentence or none.

    Args:
        folder: Where they are, at any depth.
        inside: Folders below it whose pictures are trained on.
        splits: Those that are splits for training.
    """
    below = {each for path in {*inside} for each in _down_to(folder, path)}
    named = sorted(each for each in below - {*splits} if _WORD.fullmatch(each.name))
    is_all_there = all(any(path.is_relative_to(each) for each in named) for path in inside)
    if not named or (is_all_there and all(each.name.lower() in _TRAIN for each in named)):
        return []  # who has one folder of pictures may call it `training`
    names = [each.relative_to(folder).as_posix() for each in named]
    return [
        f"{folder}: {', '.join(names[:_NAMED])} {'is' if len(names) == 1 else 'are'} called as "
        "splits are, and trained on, for `train` and another split do not lie side by side there; "
        "move elsewhere what is to be held out."
    ]


def _down_to(folder: Path, path: Path) -> Iterator[Path]:
    """Give the folders on the way from one, which is left out, to another below it."""
    for part in path.relative_to(folder).parts:
        folder /= part
        yield folder
