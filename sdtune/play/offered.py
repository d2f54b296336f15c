"""What the page may draw with: the adapters that were given, and of runs their checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sdtune.drawing.sources import AdapterSource, adapter_source, checkpoint_step, checkpoints
from sdtune.evaluation.rounding import figure_words, places_of
from sdtune.files.json_file import JsonFileError
from sdtune.run_folder.layout import BEST, RunFolder, step_label, step_name
from sdtune.run_folder.record import Checkpoint, Evaluation

__all__ = ["OfferedAdapter", "offer"]

_SHOWN = ("style_score", "clip_i", "clip_score")
_LAST = "last"
_ONLY = ""


@dataclass
class OfferedAdapter:
    """An adapter that was given.

    Attributes:
        name: What it is called in the page.
        checkpoints: Key -> what is shown of it, scores included; of anything but a run there is
            one, whose key is empty.
        first: The key of the one to begin with.
        path: What was given.
    """

    path: Path
    name: str
    checkpoints: dict[str, str]
    first: str
    _found: dict[str, AdapterSource] = field(default_factory=dict, repr=False)

    def source(self, checkpoint: str) -> AdapterSource:
        """Find a checkpoint's files; their hash is taken once.

        Args:
            checkpoint: One of `checkpoints`.

        Raises:
            FileNotFoundError: If it is gone.
            ValueError: If there is none of that name, or it is of no known format.
        """
        if checkpoint not in self.checkpoints:
            raise ValueError(f"Expected a checkpoint of {self.name}, but got `{checkpoint}`.")
        if checkpoint not in self._found:
            self._found[checkpoint] = adapter_source(self.path, checkpoint or None)
        return self._found[checkpoint]

    def find(self, sha256: str) -> str | None:
        """Find the checkpoint that has a hash.

        Args:
            sha256: As in `UsedAdapter`.

        Returns:
            Its key, or None if there is none.
        """
        keys = (each for each in self.checkpoints if self.source(each).sha256 == sha256)
        return next(keys, None)


def offer(path: Path, checkpoint: str | None = None) -> OfferedAdapter:
    """Offer an adapter, or all checkpoints of a run, each with its scores.

    Args:
        path: A run folder, or a file or folder of adapters.
        checkpoint: Of a run, the one to begin with: a step, `best` or `last`; None for the best.

    Returns:
        What there is.

    Raises:
        FileNotFoundError: If there is no such adapter or checkpoint.
        ValueError: If it is of no known format.
    """
    first = adapter_source(path, checkpoint)
    if not RunFolder(path).adapter.is_dir():
        return OfferedAdapter(path, first.name, {_ONLY: first.name}, _ONLY, {_ONLY: first})
    found = checkpoints(path)
    record = _record(path)
    words = {
        key: _words(key, record, list(found), checkpoint_step(folder))
        for key, folder in found.items()
    }
    [key] = [each for each, folder in found.items() if folder == first.path][:1]
    return OfferedAdapter(path, RunFolder(path).name, words, key, {key: first})


def _record(run: Path) -> Evaluation | None:
    try:
        return Evaluation.load(RunFolder(run).record)
    except (FileNotFoundError, JsonFileError):  # a run is drawn with without its scores
        return None


def _words(key: str, record: Evaluation | None, keys: list[str], step: int | None) -> str:
    """Name a checkpoint as it is chosen by: `best (step 400): style score 0.66, CLIP score 81`."""
    tuned = [] if record is None else record.tuned
    label: str | None = key
    if key in (BEST, _LAST) and step is not None:  # as the files say, whatever the record does
        label = step_label(step)
    elif key == BEST:
        label = record.best.label if record is not None and record.best is not None else None
    elif key == _LAST:
        label = max((each for each in keys if each not in (BEST, _LAST)), default=None)
    name = step_name(key)
    if label is not None and label != key:
        name += f" ({step_name(label)})"
    scored = next((each for each in tuned if each.label == label), None)
    scores = [] if scored is None or record is None else _scores(scored, record)
    return f"{name}: {', '.join(scores)}" if scores else name


def _scores(checkpoint: Checkpoint, record: Evaluation) -> list[str]:
    words = []
    for key in _SHOWN:
        figure = checkpoint.figures.get(key)
        if figure is not None and key in record.metrics:
            places = places_of(key, [each.figures.get(key) for each in record.checkpoints])
            words.append(f"{record.metrics[key].title} {figure_words(key, figure, places)[0]}")
    return words
