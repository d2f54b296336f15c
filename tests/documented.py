"""The command blocks of README and docs/: which there are, and how they are run here."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGES", "ROOT", "Block", "blocks", "commands", "prepare", "shortened"]

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_OWN = ("sdtune", "lightning")
# a run of a page takes this many steps; what takes time besides is made small
_SHORT = ["--trainer.max_steps=2", "--trainer.limit_val_batches=1", "--trainer.callbacks=[]"]


@dataclass(frozen=True)
class Block:
    """A block of commands, or of Python.

    Attributes:
        page: Its page, below the root.
        language: `bash` or `python`.
        text: What is in it.
    """

    page: str
    language: str
    text: str

    @property
    def title(self) -> str:
        """Its page and its first line."""
        return f"{self.page}: {self.text.splitlines()[0].split('  #')[0].strip()}"


def blocks() -> list[Block]:
    """List all blocks of all pages."""
    return [
        Block(page.relative_to(ROOT).as_posix(), language, text)
        for page in PAGES
        for language, text in _BLOCK.findall(page.read_text(encoding="utf-8"))
    ]


def commands(block: Block) -> list[list[str]]:
    """Split a block of a shell into its commands, a list of words each, without comments."""
    lines = block.text.replace("\\\n", " ").splitlines()
    found = [shlex.split(line, comments=True) for line in lines]
    parts: list[list[str]] = []
    for words in filter(None, found):
        parts.append([])
        for word in words:
            if word in ("&&", ";"):
                parts.append([])
            else:
                parts[-1].append(word)
    return parts


def is_own(words: list[str]) -> bool:
    """Whether a command is one of sdtune's."""
    return words[0] in _OWN


def shortened(words: list[str]) -> list[str]:
    """Make a command of sdtune cheap: few steps, one step to draw, one picture a prompt."""
    if words[0] == "lightning" or words[:2] == ["sdtune", "fit"]:
        recipe = " ".join(words)
        classes = any(name in recipe for name in ("dreambooth", "multi_concept"))
        counts = ["--model.class_inference_steps=1"] if classes else []
        if "dreambooth" in recipe:
            counts.append("--data.class_count=2")
        if words[-1] == "style_lora":  # .ci/run trains with all of its pictures, as README does
            counts.append("--data.folder=my_pictures")
        return [*words, *_SHORT, *counts]
    if words[:2] == ["sdtune", "generate"] and "--like" not in words:
        return [*words, "--num_inference_steps=1"]
    return words


def prepare(folder: Path) -> None:
    """Put what pages take for granted into a folder: recipes, data sets, somebody's pictures."""
    for name in ("recipes", "datasets"):
        (folder / name).symlink_to(ROOT / name)
    for name, source, count in (
        ("my_pictures", "style_openmoji", 12),
        ("drawings", "style_openmoji", 6),
        ("photos", "subject_rabbit", 4),
        ("more", "subject_cat", 4),
    ):
        (folder / name).mkdir()
        for path in sorted((ROOT / "datasets" / source).glob("*.png"))[:count]:
            for each in (path, path.with_suffix(".txt")):
                if each.is_file():
                    shutil.copy(each, folder / name)
