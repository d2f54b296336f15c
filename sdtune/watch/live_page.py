"""The page of a run as it is now, in parts, each made anew only when what it shows has changed."""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sdtune.report.facts import lacks, told
from sdtune.report.page import fill_page
from sdtune.report.run import ReportedRun, read_run
from sdtune.report.run_report import curve_content, report_content
from sdtune.run_folder.curves import read_curves
from sdtune.run_folder.event_files import EVENT_FILES
from sdtune.run_folder.layout import CHECKPOINT, REPORT
from sdtune.run_folder.run_list import newest_run
from sdtune.run_folder.run_process import LOCK, PROCESS, RunProcess
from sdtune.watch.state import state_of
from sdtune.watch.words import live_words

__all__ = ["LivePage", "Look"]

_SHARE = 0.1  # of one core: drawing a page takes time that training could have
_SECONDS_KEPT = 1.0  # several windows look at the same page
_SECONDS_STALE = 30.0  # in which a page that was read is good, if it cannot be read anew
_PART = re.compile(r'<header>.*?</header>|<section aria-labelledby="([\w-]+)".*?</section>', re.S)
_TITLE = re.compile(r"<title>(.*?)</title>", re.S)


@dataclass(frozen=True)
class Look:
    """The page at a moment.

    Attributes:
        title: Its title.
        page: All of it.
        parts: Name -> (digest, HTML), in their order.
    """

    title: str
    page: str
    parts: Mapping[str, tuple[str, str]]

    @classmethod
    def at(cls, page: str) -> Look:
        """Take a page apart.

        Args:
            page: Whose texts are escaped, so that no part ends within another.
        """
        parts = {}
        for found in _PART.finditer(page):
            digest = hashlib.sha256(found[0].encode(errors="backslashreplace")).hexdigest()[:16]
            parts[found[1] or "header"] = (digest, found[0])
        digests = json.dumps({name: digest for name, (digest, _) in parts.items()})
        title = _TITLE.search(page)
        page = page.replace("<main>", f'<main data-parts="{html.escape(digests)}">', 1)
        return cls(html.unescape(title[1]) if title else "", page, parts)


@dataclass
class _Shown:
    """What was read of a run, and when it may be read again."""

    run: ReportedRun
    content: dict[str, Any]
    curves: Any
    others: Any
    doing: str = ""
    not_before: float = 0.0


@dataclass
class LivePage:
    """Renders the newest run below a folder. Reading and drawing take a tenth of a core at most.

    Args:
        folder: A run's folder, or one of runs.
    """

    folder: Path
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _shown: _Shown | None = field(default=None, init=False)
    _last: tuple[float, Look] | None = field(default=None, init=False)
    _good: tuple[float, Look] | None = field(default=None, init=False)

    def look(self) -> Look:
        """Render the page.

        Returns:
            The page. It is never an error: what cannot be read is told on it.
        """
        with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > _SECONDS_KEPT:
                self._last = time.monotonic(), self._look()
            return self._last[1]

    def stop(self, token: str) -> str | None:
        """Ask the run that a page was of to stop.

        Args:
            token: That of the page's button.

        Returns:
            What was done, in a sentence; None if there is no such run.
        """
        with self._lock:
            shown = self._shown
            process = state_of(shown.run).process if shown else None
            if shown is None or process is None or not process.is_here:
                return None
            if not secrets.compare_digest(self._token(shown.run.folder, process), token):
                return None
            try:
                is_new = process.stop(shown.run.folder)
            except ProcessLookupError as error:
                return str(error)
            self._last = None
            if not is_new:
                return "It was asked to stop already."
            return "It is asked to stop, and ends after this step, with a checkpoint."

    def _look(self) -> Look:
        try:
            look = Look.at(self._render())
            self._good = time.monotonic(), look
            return look
        except Exception as error:  # files change while they are read; a page outlives it
            if self._good is not None and time.monotonic() - self._good[0] < _SECONDS_STALE:
                return self._good[1]
            sentence = f"The run cannot be read: {type(error).__name__}, {error}"
            return Look.at(self._empty("One moment", sentence))

    def _render(self) -> str:
        folder = newest_run(self.folder)
        if folder is None:
            return self._empty("No run yet", f"The first run below {self.folder} appears here.")
        return self._page(folder)

    def _empty(self, title: str, sentence: str) -> str:
        self._shown = None
        values = {"title": title, "sentence": sentence, "folder": str(self.folder)}
        return fill_page("watch_empty.html", **values)

    def _page(self, folder: Path) -> str:
        shown = self._shown = self._read(folder)
        state = state_of(shown.run)
        process = state.process
        asked = process is not None and process.asked
        live = live_words(state, asked)
        can_stop = os.name != "nt" and state.can_stop and not asked
        token = self._token(folder, process) if process and can_stop else ""
        content = shown.content | {
            "live": replace(live, token=token),
            "contact_sheet": "",
            "live_curves": [],
            # that it is not finished is its heading, and needs no notice
            "notices": told(shown.run) if process is not None else list(lacks(shown.run)),
        }
        if process is not None:
            content |= {"live_curves": content["curves"], "curves": []}  # to the top
        return fill_page("watch.html", **content)

    def _token(self, folder: Path, process: RunProcess) -> str:
        words = f"{folder.resolve()} {process.pid} {process.started} {process.host}"
        return hashlib.blake2b(words.encode(errors="surrogateescape"), key=self._secret).hexdigest()

    def _read(self, folder: Path) -> _Shown:
        """Read what has changed of a run, if that is due."""
        begin = time.monotonic()
        shown = self._shown
        curves, others = _files(folder)  # before they are read, so that no change is missed
        if shown is not None and shown.run.folder != folder:
            shown = None
        if shown is not None:
            is_new = (shown.curves, shown.others) != (curves, others)
            is_due = begin >= shown.not_before or state_of(shown.run).doing != shown.doing
            if not (is_new and is_due):
                return shown
        if shown is None or shown.others != others:
            run = read_run(folder, follow=False)
            content = report_content(run, training_pictures=False)
        else:
            problems: list[str] = []
            curves_read = read_curves(folder, problems, within=folder)
            run = replace(shown.run, curves=curves_read, curve_problems=problems)
            content = shown.content | curve_content(run)
        end = time.monotonic()
        due = end + (end - begin) * (1 - _SHARE) / _SHARE
        return _Shown(run, content, curves, others, state_of(run).doing, due)


_Listed = tuple[str, int, int, bool]
_Files = list[_Listed]


def _files(folder: Path) -> tuple[_Files, _Files]:
    """List the event files, and all others that the page is made of, to see what has changed."""
    events = sorted(folder.glob(EVENT_FILES))
    curves = [_listed(path, folder) for path in events]
    # a link, or what is no file, is told of in another part
    names = {each.name for each in events if each.is_file() and not each.is_symlink()}
    names |= {LOCK, PROCESS, REPORT}
    others = []
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(each for each in folders if each != CHECKPOINT.parent.name)
        linked = [each for each in folders if Path(where, each).is_symlink()]
        shown = [each for each in sorted(files) if each not in names and not each.endswith(".tmp")]
        others += [_listed(Path(where, each), folder) for each in (*linked, *shown)]
    return curves, others


def _listed(path: Path, folder: Path) -> _Listed:
    name, is_link = str(path.relative_to(folder)), path.is_symlink()
    try:
        found = path.stat()
    except OSError:  # it has just been replaced
        return name, -1, -1, is_link
    return name, found.st_size, found.st_mtime_ns, is_link
