"""Whether the installed packages are those that sdtune needs, told before anything is started."""

from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

__all__ = ["package_problems"]

_CONSTRAINTS = "pip install -c constraints.txt"


def package_problems(distribution: str = "sdtune") -> list[str]:
    """Compare the installed packages with what a distribution declares that it needs.

    Args:
        distribution: Whose requirements; extras are left out, since each is asked for where it is
            used.

    Returns:
        One sentence for each package that is missing or of another version. Empty also if the
        distribution itself is not installed, so that nothing is known of what it needs.
    """
    try:
        lines = requires(distribution) or []
    except PackageNotFoundError:
        return []
    wanted = [Requirement(line) for line in lines]
    needed = [each for each in wanted if not each.marker or each.marker.evaluate({"extra": ""})]
    return [problem for each in needed if (problem := _problem_of(each))]


def _problem_of(requirement: Requirement) -> str | None:
    wanted = f"{requirement.name}{requirement.specifier}"
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return f'Expected `{wanted}` to be installed, but it is not: pip install "{wanted}".'
    if requirement.specifier.contains(found, prereleases=True):
        return None
    return (
        f"Expected `{wanted}`, but {requirement.name} {found} is installed: "
        f'pip install "{wanted}", or all that is known to work with `{_CONSTRAINTS} sdtune`.'
    )
