"""Packages that are installed: flags of optional ones, the pip extra that is missing, versions."""

from importlib.util import find_spec

__all__ = [
    "DATASETS_AVAILABLE",
    "HEIF_AVAILABLE",
    "JXL_AVAILABLE",
    "PRODIGYOPT_AVAILABLE",
    "RAY_AVAILABLE",
    "RESVG_AVAILABLE",
    "SCHEDULEFREE_AVAILABLE",
    "TORCHVISION_AVAILABLE",
    "installed_versions",
    "require",
]

# a folder `datasets/` where Python is started, such as this project's, is no package
DATASETS_AVAILABLE = (_datasets := find_spec("datasets")) is not None and bool(_datasets.origin)
HEIF_AVAILABLE = find_spec("pillow_heif") is not None
JXL_AVAILABLE = find_spec("pillow_jxl") is not None
PRODIGYOPT_AVAILABLE = find_spec("prodigyopt") is not None
RAY_AVAILABLE = find_spec("ray") is not None
RESVG_AVAILABLE = find_spec("resvg_py") is not None
SCHEDULEFREE_AVAILABLE = find_spec("schedulefree") is not None
TORCHVISION_AVAILABLE = find_spec("torchvision") is not None


def require(module: str, extra: str) -> None:
    """Make sure that an optional dependency is installed, before it is imported.

    Args:
        module: Name under which the dependency is imported, such as "prodigyopt".
        extra: The extra of sdtune that installs it, such as "prodigy".

    Raises:
        ModuleNotFoundError: If it is not installed; the message is the pip command to run.
    """
    if find_spec(module) is None:
        raise ModuleNotFoundError(
            f'Expected `{module}` to be installed, but it is not: pip install "sdtune[{extra}]".',
            name=module,
        )


def installed_versions(*names: str) -> dict[str, str]:
    """Tell the versions of packages.

    Args:
        *names: As pip names them.

    Returns:
        Package -> version, of those that are installed under their own name.
    """
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
