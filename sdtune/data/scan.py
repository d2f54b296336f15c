"""Everything there is to know of some pictures, read once: files, captions, problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from sdtune._wording import counted
from sdtune.data.image_folder import one_walk
from sdtune.data.manifest import Manifest
from sdtune.data.pictures import Picture
from sdtune.data.problems import OnProblem, Problem
from sdtune.data.scan_snapshot import KEPT_ABOVE, ScanSnapshot
from sdtune.data.sources.locations import Location, Part, found_location, list_location, overlaps
from sdtune.data.sources.source import Asked
from sdtune.data.uncollected import uncollected

__all__ = ["Scan", "scan_folder", "scan_pictures"]


@dataclass(frozen=True)
class Scan:
    """Pictures as they were found.

    Attributes:
        pictures: The pictures that open and have a caption, sorted by name.
        problems: The pictures and captions that cannot be used, what is wrong with each, and what
            to do.
        passed_over: Files that are neither pictures nor captions.
        found: What the location was taken for, and how many pictures it holds.
        notes: A sentence for each thing to know, such as folders that were left out.
        left_out: The problems that were asked to be passed over, see `leaving_out`.
    """

    pictures: Sequence[Picture] = ()
    problems: Sequence[Problem] = ()
    passed_over: Sequence[Path] = field(default=(), compare=False)
    found: str = ""
    notes: Sequence[str] = ()
    left_out: Sequence[Problem] = ()

    def leaving_out(self, problems: Sequence[Problem]) -> Scan:
        """Go on without what has problems, if pictures remain.

        Args:
            problems: The problems.

        Returns:
            A scan without the pictures that they are about, or whose masks or captions, which lists
            them as left out; or, if no picture would remain, with the problems as they are.
        """
        named = {each.about for each in problems} | {each.picture for each in problems}
        remaining = [
            each for each in self.pictures if named.isdisjoint((str(each.path), str(each.mask)))
        ]
        if not remaining:
            return replace(self, problems=[*self.problems, *problems])
        return replace(self, pictures=remaining, left_out=[*self.left_out, *problems])

    def passed_over_line(self) -> str:
        """Say which files were passed over because of their suffix; empty if there are none."""
        if not self.passed_over:
            return ""
        kinds = Counter(path.suffix.lower() or "no suffix" for path in self.passed_over)
        listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
        are = counted(
            len(self.passed_over),
            "file is neither a picture nor a caption and is",
            "files are neither pictures nor captions and are",
        )
        return f"{are} passed over ({listed}), such as {self.passed_over[0]}."

    def lines(self, argument: str) -> list[str]:
        """Say what was found.

        Args:
            argument: What the location was given as, such as `data.folder`.

        Returns:
            A line for what it was taken for, one for each note, and one for the files passed over.
        """
        notes = [*self.notes, *filter(None, [self.passed_over_line()])]
        return [f"{argument}: {self.found}", *(f"{argument}: {each}" for each in notes)]


@uncollected()
def scan_folder(
    folder: Location,
    caption: str | None = None,
    cache_dir: str | Path | None = None,
    *,
    source: str | None = None,
    caption_column: str | None = None,
    image_column: str | None = None,
    on_problem: OnProblem = "error",
    optional_captions: bool = False,
) -> Scan:
    """Read pictures and everything that is wrong with them.

    Args:
        folder: Folder with pictures, or another location that a source knows, see
            `sdtune.data.sources`; or several of them -> how often an epoch shows each.
        caption: The caption of every picture; None reads one for each, see `read_captions`.
        cache_dir: Where what is known of the files is kept, see `Manifest`.
        source: Name of the source that reads it; None looks what it is.
        caption_column: Where tables and metadata hold captions; None finds it.
        image_column: Where tables hold pictures; None finds it.
        on_problem: With "skip", each location of which pictures remain goes on without those that
            have problems.
        optional_captions: Whether a picture of a plain folder may have none, see `Asked`.

    Returns:
        What was found. What is known of a file is found once, as long as it does not change.

    Raises:
        ValueError: If there is no source of that name.
    """
    asked = Asked(caption, caption_column, image_column, cache_dir, optional_captions)
    folder = found_location(folder)
    snapshot = None
    with one_walk():
        if not isinstance(folder, Mapping) and Path(folder).is_dir():
            how = {"asked": asdict(asked), "source": source, "on_problem": on_problem}
            snapshot = ScanSnapshot(Path(folder), cache_dir, how)
            kept = snapshot.read()
            if kept is not None:
                pictures, rest = kept
                rest["passed_over"] = [Path(each) for each in rest["passed_over"]]
                rest["left_out"] = [Problem(*each) for each in rest["left_out"]]
                return Scan(pictures, [], **rest)
        parts = list_location(folder, asked, source)
    scan = _scan(folder, parts, cache_dir, on_problem)
    if snapshot is not None and len(scan.pictures) > KEPT_ABOVE and not scan.problems:
        rest = {"found": scan.found, "notes": scan.notes}
        rest["left_out"] = [(each.about, each.sentence) for each in scan.left_out]
        rest["passed_over"] = [str(path) for path in scan.passed_over]
        snapshot.write(list(scan.pictures), rest)
    return scan


def _scan(
    folder: Location,
    parts: Sequence[Part],
    cache_dir: str | Path | None,
    on_problem: OnProblem,
) -> Scan:
    scans = [_scan_part(part, cache_dir, on_problem) for part in parts]
    pictures = [picture for scan in scans for picture in scan.pictures]
    return Scan(
        pictures,
        [*overlaps(folder), *(each for scan in scans for each in scan.problems)],
        [path for part in parts for path in part.listing.passed_over],
        _found(parts, len(pictures)),
        [note for part in parts for note in part.listing.notes],
        [each for scan in scans for each in scan.left_out],
    )


def scan_pictures(
    folder: Location, caption: str | None = None, source: str | None = None
) -> tuple[list[Picture], list[str]]:
    """Read pictures and everything that is wrong with them, a line each; see `scan_folder`."""
    scan = scan_folder(folder, caption, source=source)
    return list(scan.pictures), list(map(str, scan.problems))


def _scan_part(part: Part, cache_dir: str | Path | None, on_problem: OnProblem) -> Scan:
    pictures, wrong = _open_pictures(part, cache_dir)
    problems = [*wrong, *part.listing.problems]
    if on_problem == "skip" and problems:
        return Scan(pictures).leaving_out(problems)
    return Scan(pictures, problems)


def _open_pictures(part: Part, cache_dir: str | Path | None) -> tuple[list[Picture], list[Problem]]:
    """Give the pictures of a part that open and have a caption, and the problem of each other.

    Two that have the same bytes in an archive are one file.
    """
    listing = part.listing
    is_elsewhere = any(each.origin for each in listing.pictures)
    manifest = Manifest(listing.root, cache_dir, of=part.location if is_elsewhere else "")
    facts = manifest.facts(list(dict.fromkeys(each.path for each in listing.pictures)))
    problems = [
        Problem(
            each.origin or str(each.path), f"{why}; save it again as PNG or JPEG, or delete it."
        )
        for each in listing.pictures
        if (why := facts[each.path].problem)
    ]
    pictures = [
        Picture(
            each.path,
            part.prefix + each.name,
            each.captions[0],
            known.size,
            known.sha256,
            each.repeats * part.repeats,
            each.mask,
            tuple(each.captions[1:]),
            known.perceptual,
        )
        for each in listing.pictures
        if each.captions and not (known := facts[each.path]).problem
    ]
    return pictures, problems


def _found(parts: Sequence[Part], count: int) -> str:
    noun = "picture" if count == 1 else "pictures"
    if len(parts) == 1:
        said = [parts[0].title, parts[0].listing.summary, f"{count} {noun}"]
        return ", ".join(filter(None, said))
    repeated = Counter(part.repeats for part in parts)
    repeats = ", ".join(str(each) for each in sorted(repeated, reverse=True))
    kinds = ", ".join(dict.fromkeys(part.title for part in parts if part.title))
    return f"{len(parts)} locations with repeats {repeats} ({kinds}), {count} {noun}"
