"""`sdtune publish`: a folder that is ready to upload to a hub, made of a run."""

from collections.abc import Iterator
from pathlib import Path

from sdtune.commands.tools import refusing
from sdtune.run_folder.layout import RunFolder

__all__ = ["problems", "publish"]

_OTHER_LICENSES = "apache-2.0, mit, cc-by-4.0, cc-by-sa-4.0, creativeml-openrail-m or other"
_CHARACTERS = set("abcdefghijklmnopqrstuvwxyz0123456789.-")


def publish(
    run: Path,
    *,
    to: Path,
    license: str,
    checkpoint: str | None = None,
    base_model: str | None = None,
) -> None:
    """Make a folder of a finished run that is ready to upload to a hub. Nothing is uploaded.

    It holds the adapter in each format, samples, and a README: base, trigger words, licence, how to
    draw with it, and the scores with their intervals. Training pictures, paths and the names of
    users stay out; what would name one is refused.

      sdtune publish runs/style_lora/version_0 --to openmoji_style --license cc-by-sa-4.0

    Args:
        run: A finished run's folder.
        to: The folder to make; one that holds something is never written into.
        license: Of the adapter, by the hub's name. The licences of base and pictures bind it.
        checkpoint: `best`, `last` or a step; by default the best, or the last where none is named.
        base_model: The base's id on the hub, such as CompVis/stable-diffusion-v1-4, where the
            recipe names a file or a folder.

    Raises:
        CallError: If the run is not finished or has no adapter, the folder is in use, or something
            in it would be private.
    """
    from sdtune.report.publishing import publish_run

    with refusing():
        folder = publish_run(run, to, license=license, checkpoint=checkpoint, base_model=base_model)
    print(f"folder:  {folder}")
    print(f"upload:  hf upload OWNER/{folder.name} {folder}")


def problems(
    run: Path | None = None,
    to: Path | None = None,
    license: str | None = None,
    base_model: str | None = None,
    **others: object,
) -> Iterator[str]:
    """Say what is wrong with a call, apart from what the run holds."""
    if run is not None and not RunFolder(run).config.is_file():
        yield (
            f"Expected a run folder, which holds a config.yaml, but got `{run}`: name one such as "
            "runs/style_lora/version_0."
        )
    if to is not None and (to.is_file() or (to.is_dir() and any(to.iterdir()))):
        yield f"Expected `--to` to name a new folder, but `{to}` is there; name another."
    if license is not None and (not license or set(license) - _CHARACTERS):
        yield (
            f"Expected `--license` to be a licence by the hub's name, such as {_OTHER_LICENSES}, "
            f"but got `{license}`."
        )
    if base_model is not None and (base_model.count("/") != 1 or base_model.startswith((".", "/"))):
        yield f"Expected `--base_model` to be a hub's owner/name, but got `{base_model}`."
