"""Several checks of one call, so that all that is wrong is said at once."""

from collections.abc import Callable

__all__ = ["check_all", "check_not_negative", "check_positive"]


def check_all(*checks: Callable[[], object]) -> None:
    """Run every check, and raise what they raise as one error.

    Args:
        *checks: Functions without arguments that raise TypeError or ValueError.

    Raises:
        TypeError: If one check alone raised it.
        ValueError: Otherwise, with a line for each problem.
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
        raise ValueError("\n".join(f"- {line}" for error in errors for line in _lines(error)))


def check_not_negative(name: str, value: float) -> None:
    """Check that an argument is 0 or more.

    Raises:
        ValueError: If it is not.
    """
    if not value >= 0:
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


def _lines(error: Exception) -> list[str]:
    return [line.removeprefix("- ") for line in str(error).splitlines()]
