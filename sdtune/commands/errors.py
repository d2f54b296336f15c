"""The error that makes a command exit with 2, and the hint at what was probably meant."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

__all__ = ["CallError", "nearest", "on_one_line"]


class CallError(ValueError):
    """The call, the recipe or the data is wrong, and nothing was started.

    Args:
        problems: Every problem found, one sentence each.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def nearest(name: str, known: Iterable[str]) -> str:
    """Word the known name nearest to an unknown one, as the end of a sentence.

    Args:
        name: What was given, such as "model.rnak" or "rank".
        known: The names that would have been accepted, such as "model.rank".

    Returns:
        "; did you mean `model.rank`?", or "." when nothing comes near.
    """
    names = [candidate for candidate in known if candidate != name]
    same_end = [candidate for candidate in names if candidate.rpartition(".")[2] == name]
    above = name[: name.rfind(".") + 1]
    if above and all(candidate.startswith(above) for candidate in names):  # says nothing then
        ends = _close(name.removeprefix(above), [n.removeprefix(above) for n in names])
        matches = [f"{above}{end}" for end in ends]
    else:
        matches = same_end or _close(name, names)
    return f"; did you mean `{matches[0]}`?" if matches else "."


def _close(name: str, names: Sequence[str]) -> list[str]:
    """Find the nearest name, whatever the case of either."""
    folded = {each.lower(): each for each in reversed(names)}
    return [folded[each] for each in get_close_matches(name.lower(), folded, n=1)]


def on_one_line(message: object) -> str:
    """Put a message of several lines on one.

    Args:
        message: A message, or an error.

    Returns:
        Its words, with one space between each.
    """
    return " ".join(str(message).split())
