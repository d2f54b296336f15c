"""`sdtune reproduce`: train an adapter again by its own record, and compare the two."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdtune._wording import counted
from sdtune.commands.call import read_call
from sdtune.commands.quiet import quiet_misleading_messages
from sdtune.commands.recipe import CLASS_KEYS, options, part_options
from sdtune.commands.tools import refusing
from sdtune.files.printable_text import show

if TYPE_CHECKING:
    from sdtune.adapters.tensor_comparison import TensorComparison
    from sdtune.commands.recipe_cli import RecipeCLI
    from sdtune.commands.reproduction import Recorded

__all__ = ["DIFFERS", "main", "reproduce"]

DIFFERS = 3
"""The exit code of an adapter that is not the same, or with --check may not become it."""

_PASSED_ON = (*CLASS_KEYS, "trainer", "trust", "seed", "run")


def main(arguments: Sequence[str]) -> int:
    """Run `sdtune reproduce`.

    Args:
        arguments: The command line after it.

    Returns:
        The exit code: 0 if the adapter is the same, else 3.

    Raises:
        CallError: If there is no adapter or record, or something it needs is not given.
    """
    own, others = part_options(arguments, lambda name: name.split(".")[0] in _PASSED_ON)
    return _reproduce(others, **read_call(reproduce, "sdtune reproduce", own))


def reproduce(adapter: Path, *, check: bool = False, follow_paths: bool = False) -> int:
    """Train an adapter again by the record in its file, and compare every number.

      sdtune reproduce runs/style_lora/version_0 --follow_paths
      sdtune reproduce erica.safetensors --data.instance_dir photos/ --check

    The new run has a folder of its own, runs/reproduce/version_N or as `--run` says. First it is
    said what is trained, and what already differs from the record: recipe, packages, machine,
    threads, base, pictures by their hashes. Exit codes: 0 equal; 3 not equal; 1 and 2 as elsewhere.

    A record names no folders. Give them as a recipe's keys: `--data.folder`, `--data.instance_dir`,
    `--model.base`. Any other key changes the recipe. `--trust MODULE` is as in `fit`.

    Args:
        adapter: A file, a folder, or a run folder. A stranger's record is a stranger's recipe, and
            is trusted as little.
        check: List what differs from the record, and stop there.
        follow_paths: Take folders that are not given from the recipe in the run's folder.

    Returns:
        The exit code.

    Raises:
        CallError: If there is no adapter or record, or something it needs is not given.
    """
    return _reproduce([], adapter, check=check, follow_paths=follow_paths)


def _reproduce(
    words: Sequence[str], adapter: Path, *, check: bool = False, follow_paths: bool = False
) -> int:
    """Reproduce, with a call's words that are for the recipe."""
    quiet_misleading_messages()
    from sdtune.commands.reproduction import again, recorded

    with refusing():
        found = recorded(adapter)
    given = [name for name, _ in options(words)]
    cli = _built(again(found, given, follow_paths=follow_paths), words)
    if hasattr(cli.datamodule, "keep_captions"):
        cli.datamodule.keep_captions(found.captions)
    _set_threads(found.record.threads)
    show(*_plan(found, cli))
    different = _differences_now(found, cli)
    show(*_listed("differs from the record already:", different))
    if check:
        return DIFFERS if different else 0
    return _train_and_compare(found, cli, different)


def _built(recipe: dict[str, Any], words: Sequence[str]) -> "RecipeCLI":
    """Build the recipe's classes; its name is that of the runs' folder."""
    import yaml

    from sdtune.commands.recipe_cli import RecipeCLI

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "reproduce.yaml")
        path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
        return RecipeCLI(["--config", str(path), *words])


def _set_threads(threads: int) -> None:
    import torch

    if 0 < threads <= (os.cpu_count() or 1):
        torch.set_num_threads(threads)


def _plan(found: "Recorded", cli: "RecipeCLI") -> Iterator[str]:
    """Say what is about to be trained, in full: the record may be a stranger's."""
    import yaml

    from sdtune.evaluation.recorded_training import TRAINER_KEYS

    config = cli.config.as_dict()
    keys = (*TRAINER_KEYS, "accelerator", "devices", "default_root_dir", "callbacks")
    trainer = {key: config["trainer"].get(key) for key in keys}
    shown = {key: config[key] for key in CLASS_KEYS} | {
        "trainer": {key: value for key, value in trainer.items() if value is not None}
    }
    yield f"training again {found.files[-1]}: {counted(found.steps, 'step')}, by its record:"
    text = yaml.safe_dump(shown, sort_keys=False)  # what a terminal would obey is escaped
    yield from (f"  {line}" for line in text.splitlines())


def _differences_now(found: "Recorded", cli: "RecipeCLI") -> list[str]:
    """List what differs before anything is trained."""
    from sdtune.evaluation.recorded_training import training_record
    from sdtune.run_folder.training_record import differences

    model: Any = cli.model
    data: Any = cli.datamodule
    data.setup("fit")
    model.load_base()
    different = differences(found.record, training_record(cli.trainer, model, data))
    if model.adapter_metadata().get("sdtune.adapter_sha256", "") != found.started_from:
        different.append("model: the adapter that training goes on from is another one")
    return different


def _train_and_compare(found: "Recorded", cli: "RecipeCLI", different: Sequence[str]) -> int:
    from sdtune.adapters.tensor_comparison import compare_adapters
    from sdtune.callbacks.stop_after import StopAfter
    from sdtune.commands.reproduction import recorded
    from sdtune.run_folder.layout import RunFolder
    from sdtune.run_folder.training_record import differences

    callbacks: list[Any] = cli.trainer.callbacks  # type: ignore[attr-defined]
    callbacks.append(StopAfter(found.steps))
    cli.fit()
    run = RunFolder(Path(str(cli.trainer.log_dir)))
    compared = compare_adapters(found.files, run.adapter)
    show(*map(_outcome, compared))
    show(f"run folder: {run.path}")
    if all(each.is_equal for each in compared):
        return 0
    seen = differences(found.record, recorded(run.adapter).record)
    show(*_listed("differs from the record:", [*dict.fromkeys([*different, *seen])]))
    return DIFFERS


def _outcome(found: "TensorComparison") -> str:
    if found.is_equal:
        return f"equal: {found.before} and {found.now}, sha256 of tensors {found.sha256}"
    if found.now is None:
        return f"not equal: no file of the format of {found.before} was written"
    parts = [f"not equal: {found.before} and {found.now}"]
    if found.unlike:
        are = counted(len(found.unlike), "tensor is", "tensors are")
        parts.append(f"{are} of another shape or type, such as {found.unlike[0]}")
    if found.name:
        parts.append(
            f"the largest difference is {found.largest:.3g}, in `{found.name}`, whose largest "
            f"value is {found.magnitude:.3g}"
        )
    if found.apart:
        parts.append(f"{counted(len(found.apart), 'tensor is', 'tensors are')} in one alone")
    return "; ".join(parts)


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return [f"nothing {title.removesuffix(':')}"]
    return [title, *(f"  - {each}" for each in lines)]
