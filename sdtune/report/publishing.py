"""A run's adapter, samples and card in a folder of their own, with nothing private in it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from sdtune.adapters.pipeline import find_adapter_files
from sdtune.adapters.registry import written_files
from sdtune.files import tensor_file
from sdtune.files.confined_path import links_out_of
from sdtune.files.folder_tree import files_below
from sdtune.report.model_card import CardPicture, model_card
from sdtune.report.run import ReportedRun, read_run
from sdtune.run_folder.layout import (
    ADAPTER,
    BEST,
    SAMPLES,
    SCORED_PICTURES,
    RunFolder,
    by_step,
    step_label,
    step_of,
)
from sdtune.run_folder.record import Checkpoint, picture_name

__all__ = ["private_words", "publish_run"]

_PICTURES_SHOWN = 6
_TEXTS = (".json", ".md", ".yaml", ".txt")
_OF_A_USER = re.compile(r"(?:/home/|/Users/|[A-Za-z]:\\+Users\\+)[^/\\\s\"']+")


def publish_run(
    run: Path,
    to: Path,
    *,
    license: str,
    license_name: str | None = None,
    checkpoint: str | None = None,
    base_model: str | None = None,
) -> Path:
    """Make a folder that is ready to upload; whole, or not at all.

    Args:
        run: The run folder.
        to: The folder to make.
        license: By the hub's name.
        license_name: What `other` is called.
        checkpoint: `best`, `last` or a step; None for the best, or the last where none is named.
        base_model: The base's id on the hub, if the recipe's own is none.

    Returns:
        The folder.

    Raises:
        FileExistsError: If the folder holds something.
        FileNotFoundError: If there is no such run, adapter or checkpoint.
        OSError: If a picture is none.
        ValueError: If the run is not finished, links lead out of it, or what
            would be published names a private place.
    """
    found = read_run(run)
    _check_finished(found)
    _check_links(run)
    source = _adapter_folder(found, checkpoint)
    scored = _scored(found, source)
    to = Path(to)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise FileExistsError(f"Expected {to} to be a new folder, but it is there; name another.")
    to.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{to.name}_", dir=to.parent))
    try:
        _copy_adapter(source, staging)
        pictures = list(_copy_pictures(found, scored, staging))
        files = find_adapter_files(staging)
        text = model_card(
            found,
            scored,
            files,
            _metadata(files[-1]),
            pictures,
            license=license,
            license_name=license_name,
            name=to.name,
            step=_step(found, source, scored),
            base_model=base_model,
        )
        for place in (os.path.relpath(staging), str(staging)):
            text = text.replace(place, to.name)
        (staging / "README.md").write_text(text, encoding="utf-8")
        _check_private(staging, run)
        staging.chmod(0o755)
        if to.is_dir():
            to.rmdir()
        staging.rename(to)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return to


def private_words(folder: Path, private: Mapping[str, str]) -> Iterator[str]:
    """Find what a folder's texts and headers say of places and users, a line each.

    Args:
        folder: The folder.
        private: Text that must not be said -> what it is.
    """
    for path in files_below(folder):
        if path.suffix in _TEXTS:
            text = path.read_text(encoding="utf-8")
        elif path.suffix == ".safetensors":
            text = "\n".join(tensor_file.read_header(path).metadata.values())
        else:
            continue
        name = path.relative_to(folder).as_posix()
        said = {word: what for word, what in private.items() if word in text}
        said |= dict.fromkeys(_OF_A_USER.findall(text), "a user's folder")
        for word, what in said.items():
            yield f"{name} says `{word}`, {what}"


def _check_finished(run: ReportedRun) -> None:
    newest, end = run.saved_step, run.adapter_step or run.max_steps
    # a run that ends by time takes fewer steps; one that went on is behind no adapter of its end
    is_short = newest is not None and end is not None and newest != end
    if not run.is_finished or (run.evaluation is None and is_short):
        got = newest if newest is not None else run.last_step
        of = f" of {run.max_steps}" if run.max_steps else ""
        raise ValueError(
            f"Expected {run.folder} to be a finished run with an adapter, but it got to step "
            f"{got}{of}: go on with it by `--resume={run.folder}`."
        )


def _check_links(run: Path) -> None:
    """See that the run's own files are published, and not what somebody's links lead to."""
    links = links_out_of(run, (ADAPTER, SAMPLES, SCORED_PICTURES))
    if links:
        raise ValueError(
            f"Expected {links[0]} to be in the run's folder, but it is a link out of it: put the "
            "file there."
        )


def _adapter_folder(run: ReportedRun, checkpoint: str | None) -> Path:
    places = RunFolder(run.folder)
    known = {"last": places.adapter}
    known |= {step_label(step): path for step, path in by_step(places.adapter).items()}
    if places.best_adapter.is_dir():
        known[BEST] = places.best_adapter
    asked = checkpoint or (BEST if BEST in known else "last")
    wanted = step_label(int(asked)) if asked.isdecimal() else asked
    if wanted not in known:
        names = ", ".join(f"`{step_of(each) or each}`" for each in known)
        raise FileNotFoundError(f"Expected `--checkpoint` to be one of {names}, but got `{asked}`.")
    find_adapter_files(known[wanted])
    return known[wanted]


def _scored(run: ReportedRun, source: Path) -> Checkpoint | None:
    """Find the scores of the adapter in a folder, by the step that its header says."""
    if run.evaluation is None:
        return None
    if source.name == BEST and run.misplaced_best is not None:
        raise ValueError(
            f"{run.misplaced_best} Run `sdtune evaluate {shlex.quote(str(run.folder))}` to have "
            "the two agree, or name a `--checkpoint`."
        )
    tuned, best = run.evaluation.tuned, run.evaluation.best
    step = run.step_of_adapter(source)
    if step is not None:
        return next((each for each in tuned if each.step == step), None)
    if source.name == BEST:
        return next((each for each in tuned if best and each.label == best.label), None)
    if step_of(source.name) is not None:
        return next((each for each in tuned if each.label == source.name), None)
    return next((each for each in tuned[-1:] if each.step == run.steps_taken), None)


def _step(run: ReportedRun, source: Path, scored: Checkpoint | None) -> int:
    """Find how many steps the adapter in a folder was trained: its header knows, or its name."""
    told = (run.step_of_adapter(source), scored.step if scored else None, step_of(source.name))
    return next((each for each in told if each is not None), run.steps_taken)


def _copy_adapter(source: Path, target: Path) -> None:
    """Copy what sdtune wrote, in every format, and not the checkpoints that lie below."""
    links = sorted(each for each in source.rglob("*") if each.is_symlink())
    if links:
        raise ValueError(f"Expected {links[0]} to be a file, but it is a link: put the file there.")
    for path in written_files(source):
        name = path.relative_to(source)
        if name.parts[0] != BEST and step_of(name.parts[0]) is None:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)


def _copy_pictures(
    run: ReportedRun, scored: Checkpoint | None, target: Path
) -> Iterator[CardPicture]:
    """Copy the pixels of samples, without what is written into the files."""
    folder = target / "images"
    folder.mkdir()
    if run.evaluation is not None and scored is not None and run.untuned is not None:
        protocol = run.evaluation.protocol
        for number, prompt in enumerate(protocol.prompts[:_PICTURES_SHOWN]):
            name = picture_name(number, protocol.seeds[0])
            after = run.folder / scored.pictures / name
            before = run.folder / run.untuned.pictures / name
            if _copy_pixels(after, folder / name):
                has_base = _copy_pixels(before, folder / f"base_{name}")
                yield CardPicture(f"images/{name}", prompt, f"images/base_{name}" * has_base)
    grids = list(by_step(RunFolder(run.folder).samples, ".png").values())
    if grids and _copy_pixels(grids[-1], folder / "grid.png"):
        yield CardPicture("images/grid.png", "")


def _copy_pixels(source: Path, target: Path) -> bool:
    if not source.is_file():
        return False
    try:
        with Image.open(source, formats=("PNG",)) as picture:
            Image.frombytes(picture.mode, picture.size, picture.tobytes()).save(target)
    except UnidentifiedImageError as error:
        raise OSError(
            f"Expected {source} to be a PNG, but it is none: take it away, or draw it again."
        ) from error
    return True


def _metadata(path: Path) -> dict[str, str]:
    from_file = path if path.is_file() else next(path.rglob("*.safetensors"))
    return dict(tensor_file.read_header(from_file).metadata)


def _check_private(folder: Path, run: Path) -> None:
    here = {
        str(Path.home()): "your home folder",
        str(Path.cwd()): "the current folder",
        str(run.resolve()): "the run's folder",
    }
    private = {place: what for place, what in here.items() if len(Path(place).parts) > 1}
    said = list(private_words(folder, private))
    if said:
        raise ValueError(
            f"Expected nothing private in what is published, but {'; '.join(said)}: give "
            "`--base_model`, or leave it out of prompts and train again."
        )
