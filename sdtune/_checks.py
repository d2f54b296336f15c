"""Several checks of one call, so that all that is wrong is said at once."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from math import inf
from numbers import Integral, Real

__all__ = [
    "ArgumentsError",
    "check_all",
    "check_not_negative",
    "check_number",
    "check_positive",
    "check_share",
    "check_types",
    "shortened",
]

_NUMBERS = {"int": "integer", "float": "number"}


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
        TypeError: If it is no number.
        ValueError: If it is not.
    """
    check_number(name, value)
    if not 0 <= value < inf:
        raise ValueError(f"Expected `{name}` to be 0 or more, but got {value}.")


def check_positive(name: str, value: float | None, of: str = "number") -> None:
    """Check that an argument is above 0; None, for "off", is too.

    Args:
        name: The argument.
        value: What was given.
        of: What it should be, such as "integer".

    Raises:
        TypeError: If it is no number, or a fraction where an integer is asked for.
        ValueError: If it is not.
    """
    if value is not None:
        check_number(name, value, f"positive {of}")
    if value is not None and not value > 0:
        raise ValueError(f"Expected `{name}` to be a positive {of}, but got {value}.")


def check_types(owner: type, given: Mapping[str, object]) -> None:
    """Check that arguments which are switches or numbers are that, before they are compared.

    Args:
        owner: A class.
        given: Arguments of its constructor, by name; those whose annotation is `bool`, `int` or
            `float`, or one of these and None, are looked at.

    Raises:
        TypeError: If one is of another type.
        ArgumentsError: If several are.
    """
    check_all(
        *(
            partial(_check_type, name, parameter.annotation, given[name])
            for name, parameter in signature(owner).parameters.items()
            if name in given
        )
    )


def check_number(name: str, value: object, of: str = "number") -> None:
    """Check that an argument is a number, and no text or switch that compares like one.

    Args:
        name: The argument.
        value: What was given.
        of: What it should be, such as "positive integer"; with "integer" in it, no fraction is one.

    Raises:
        TypeError: If it is none.
    """
    kind = Integral if "integer" in of else Real
    if isinstance(value, bool) or not isinstance(value, kind):
        article = "an" if of.startswith("integer") else "a"
        raise TypeError(f"Expected `{name}` to be {article} {of}, but got {value!r}.")


def _check_type(name: str, annotation: object, value: object) -> None:
    told = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    kind, _, other = told.partition(" | ")
    if other not in ("", "None") or (other and value is None):
        return
    if kind == "bool" and not isinstance(value, bool):
        raise TypeError(f"Expected `{name}` to be true or false, but got {value!r}.")
    if kind in _NUMBERS:
        check_number(name, value, _NUMBERS[kind] + (" or None" if other else ""))


def check_share(name: str, value: float) -> None:
    """Check that an argument is in [0, 1].

    Raises:
        TypeError: If it is no number.
        ValueError: If it is not.
    """
    check_number(name, value, "number in [0, 1]")
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
