"""`sdtune publish`: a folder that is ready to upload to a hub, made of a run."""

import re
import shlex
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from sdtune.commands.errors import nearest
from sdtune.commands.tools import refusing
from sdtune.files.new_file import new_file_problem
from sdtune.files.printable_text import show
from sdtune.run_folder.layout import RunFolder

__all__ = ["hub_name", "problems", "publish"]

_KNOWN = """
afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m
bigscience-bloom-rail-1.0 bigscience-openrail-m bsd bsd-2-clause bsd-3-clause
bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0
cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0
cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0
cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0
epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 gemma gfdl gpl gpl-2.0 gpl-3.0 intel-research isc lgpl
lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mit mpl-2.0
ms-pl ncsa odbl odc-by ofl-1.1 openrail openrail++ osl-3.0 other pddl postgresql unknown
unlicense wtfpl zlib
"""
"""What the hub knows a licence by: https://huggingface.co/docs/hub/repositories-licenses."""

_LICENSES = frozenset(_KNOWN.split())
_USUAL = "apache-2.0, mit, cc-by-4.0, cc-by-sa-4.0, creativeml-openrail-m"
_NAME = re.compile(r"[\w.+-]{1,100}")

# of names on the hub: https://huggingface.co/docs/huggingface_hub/package_reference/utilities
_NO_NAME, _DOUBLED = re.compile(r"[^\w.-]+", re.ASCII), re.compile(r"-{2,}|\.{2,}")
_NO_END = re.compile(r"(?:\.git|[-.])+$")
_LONGEST = 96


def publish(
    run: Path,
    *,
    to: Path,
    license: str,
    license_name: str | None = None,
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
        license_name: What one is called that the hub does not know, with `--license other`.
        checkpoint: `best`, `last` or a step; by default the best, or the last where none is named.
        base_model: The base's id on the hub, such as CompVis/stable-diffusion-v1-4, where the
            recipe names a file or a folder.

    Raises:
        CallError: If the run is not finished or has no adapter, the folder is in use, or something
            in it would be private.
    """
    from sdtune.report.publishing import publish_run

    with refusing():
        folder = publish_run(
            run,
            to,
            license=license,
            license_name=license_name,
            checkpoint=checkpoint,
            base_model=base_model,
        )
    show(f"folder:  {folder}")
    show(f"upload:  {shlex.join(['hf', 'upload', f'OWNER/{hub_name(folder.name)}', str(folder)])}")


def hub_name(folder: str) -> str:
    """Make a name that the hub takes of a folder's.

    Args:
        folder: Its name.

    Returns:
        At most 96 letters, digits, `.`, `_` and `-` of ASCII, accents and doubled or outer signs
        left out; NAME if nothing is left.
    """
    plain = unicodedata.normalize("NFKD", folder).encode("ascii", "ignore").decode()
    name = _DOUBLED.sub(lambda found: found[0][0], _NO_NAME.sub("-", plain)).lstrip("-.")
    return _NO_END.sub("", name[:_LONGEST]) or "NAME"


def problems(
    run: Path | None = None,
    to: Path | None = None,
    license: str | None = None,
    license_name: str | None = None,
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
    elif to is not None and not to.is_dir() and (problem := new_file_problem(to)):
        yield problem
    if license is not None and license not in _LICENSES:
        yield (
            f"Expected `--license` to be a licence by the hub's name, such as {_USUAL}, or `other` "
            f"with `--license_name`, but got `{license}`{nearest(license, _LICENSES)}"
        )
    if license == "other" and (license_name is None or not _NAME.fullmatch(license_name)):
        yield (
            "Expected `--license other` to come with `--license_name`, one word such as "
            f"my-license-1.0, but got {'none' if license_name is None else f'`{license_name}`'}."
        )
    if license != "other" and license_name is not None:
        yield "Expected `--license_name` with `--license other` alone: the hub knows the others."
    if base_model is not None and (base_model.count("/") != 1 or base_model.startswith((".", "/"))):
        yield f"Expected `--base_model` to be a hub's owner/name, but got `{base_model}`."
