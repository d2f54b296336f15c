"""Several checks of one call, so that all that is wrong is said at once."""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from math import inf

__all__ = [
    "ArgumentsError",
    "check_all",
    "check_not_negative",
    "check_positive",
    "check_share",
    "check_switches",
    "shortened",
]


class ArgumentsError(ValueError):
    """Arguments that cannot be used, with every reason.

    Args:
        problems: One sentence each.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(f"- {problem}" for problem in self.problems))


def check_all(*checks: Callable[[], object]) -> None:
    """Run every check, and raise what they raise as one error.

    Args:
        *checks: Functions without arguments that raise TypeError or ValueError.

    Raises:
        TypeError: If one check alone raised it.
        ValueError: Likewise.
        ArgumentsError: If several raised, with all that they said.
    """
    errors: list[TypeError | ValueError] = []
    for check in checks:
        try:
            check()
        except (TypeError, ValueError) as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ArgumentsError(
            [each for error in errors for each in getattr(error, "problems", [str(error)])]
        )


def check_not_negative(name: str, value: float) -> None:
    """Check that an argument is 0 or more, and finite.

    Raises:
        ValueError: If it is not.
    """
    if not 0 <= value < inf:
        raise ValueError(f"Expected `{name}` to be 0 or more, but got {value}.")


def check_positive(name: str, value: float | None, of: str = "number") -> None:
    """Check that an argument is above 0; None, for "off", is too.

    Args:
        name: The argument.
        value: What was given.
        of: What it should be, such as "integer".

    Raises:
        ValueError: If it is not.
    """
    if value is not None and not value > 0:
        raise ValueError(f"Expected `{name}` to be a positive {of}, but got {value}.")


def check_switches(owner: type, given: Mapping[str, object]) -> None:
    """Check that arguments which are true or false are that: others count as one of the two.

    Args:
        owner: A class.
        given: Arguments of its constructor, by name.

    Raises:
        TypeError: If one is neither.
    """
    for name, parameter in signature(owner).parameters.items():
        if parameter.annotation in (bool, "bool") and not isinstance(given.get(name, True), bool):
            raise TypeError(f"Expected `{name}` to be true or false, but got {given[name]!r}.")


def check_share(name: str, value: float) -> None:
    """Check that an argument is in [0, 1].

    Raises:
        ValueError: If it is not.
    """
    if not 0 <= value <= 1:
        raise ValueError(f"Expected `{name}` to be in [0, 1], but got {value}.")


def shortened(value: object, length: int = 60) -> str:
    """Write a value for a sentence, cut where it would fill a page.

    Args:
        value: Anything.
        length: Characters that are left of it at most.
    """
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]}…"
