"""`sdtune estimate`: the memory that a recipe takes, counted, and the time, by its first steps."""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from jsonargparse import ArgumentError, Namespace

from sdtune.commands.call import read_call
from sdtune.commands.errors import CallError
from sdtune.commands.recipe import CALL_KEYS
from sdtune.commands.tools import refusing
from sdtune.files.printable_text import show

__all__ = ["estimate", "main"]

_UNITS = {"": 1e9, "gb": 1e9, "g": 1e9, "gib": 2**30, "mb": 1e6, "mib": 2**20}
_BESIDE = 0.6e9  # driver and libraries
_RECORDING = 0.3e9  # of one network's passes, whose memory nothing else may use meanwhile
_ALLOCATOR = 1.1  # what an allocator takes for what it gives


def main(arguments: Sequence[str]) -> int:
    """Run `sdtune estimate`.

    Args:
        arguments: The command line after it: a recipe, `--gpu`, `--time`, then overrides as for
            `sdtune fit`.

    Returns:
        The exit code.

    Raises:
        CallError: If the call or the recipe is wrong.
    """
    if {"-h", "--help"} & set(arguments):
        read_call(estimate, "sdtune estimate", ["--help"])
    words = [word for word in arguments if word != "--time"]
    time = len(words) < len(arguments)
    gpu = None
    for number, word in enumerate(words):
        if word == "--gpu" or word.startswith("--gpu="):
            rest = words[number + 1 : number + 2] if word == "--gpu" else [word[6:]]
            if not rest:
                raise CallError(["Expected `--gpu` to be followed by a size, such as 12GB."])
            gpu = rest[0]
            del words[number : number + (2 if word == "--gpu" else 1)]
            break
    if not words or words[0].startswith("-"):
        raise CallError(["Expected a recipe: sdtune estimate RECIPE.yaml [--gpu 12GB] [--time]."])
    return estimate(*words, gpu=gpu, time=time)


def estimate(recipe: str, *words: str, gpu: str | None = None, time: bool = False) -> int:
    """Count the memory that a recipe takes, by part, on tensors without values; or find its time.

    For memory nothing is loaded and no device is asked: a base that is not at hand is counted by
    its architecture. It takes half a minute for Stable Diffusion 1, and as long for each proposal.

    For time the recipe is started on this machine and takes some true steps, and once what comes
    now and then: pictures, scores and files. The run's folder is a temporary one.

      sdtune estimate recipes/sd14/style_lora.yaml --gpu 12GB
      sdtune estimate recipes/sdxl/style_lora.yaml --gpu 10GB --data.batch_size 1
      sdtune estimate recipes/style_lora.yaml --time

    Args:
        recipe: A recipe.
        *words: Overrides, as for `sdtune fit`.
        gpu: Memory of the device, such as `12GB`: if the recipe does not fit, settings that take
            less are counted, the cheapest first, until one does.
        time: Say how long the whole run takes here; memory is counted beside it if `gpu` is given.

    Returns:
        The exit code: 0, or 1 if nothing fits.

    Raises:
        CallError: If the call or the recipe is wrong.
    """
    available = None if gpu is None else _size(gpu)
    # only now: they bring torch along
    from sdtune.commands.quiet import quiet_devices, quiet_misleading_messages
    from sdtune.commands.timing import time_run
    from sdtune.estimation.hollow_model import likely_architecture, not_at_hand
    from sdtune.estimation.smaller import smaller_settings, words_of

    quiet_misleading_messages()
    with quiet_devices():
        values = _read(["--config", recipe, *words])
    with refusing():
        architecture = likely_architecture(values["model.base"])
    if time:
        _check_time(values, is_at_hand=architecture is None)
        # nothing is logged elsewhere than in the run's folder, if there is one
        logger = [] if values["trainer.logger"] is False else ["--trainer.logger=true"]
        show(*time_run(["--config", recipe, *words, *logger]))
        if available is None:
            return 0
    if architecture is not None:
        show(not_at_hand(values["model.base"]))
    needed = _count(values, "as it is")
    if available is None:
        return 0
    if needed <= available:
        show(f"It fits into {gpu}.")
        return 0
    show(f"It does not fit into {gpu}. With, one after the other:")
    for change in smaller_settings(values):
        values |= change
        if _count(values, words_of(change)) <= available:
            show(f"With these it fits into {gpu}.")
            return 0
    show(
        f"Nothing of this fits into {gpu}: a smaller `data.resolution` or `model.rank` takes less."
    )
    return 1


def _check_time(values: Mapping[str, Any], is_at_hand: bool) -> None:
    """Refuse to take true steps of what is no new run, or has no base."""
    problems: list[str] = []
    if not is_at_hand:
        problems.append(
            f"Expected `model.base` to be at hand for `--time`, which takes true steps, but "
            f"{values['model.base']} is not; without `--time`, memory is counted."
        )
    problems += [
        f"Expected no `{name}` with `--time`, which starts a new run in a folder of its own."
        for name in CALL_KEYS
        if values[name] is not None
    ]
    if problems:
        raise CallError(problems)


def _read(words: Sequence[str]) -> dict[str, Any]:
    """Give a recipe's values by their keys, its model's class as `model`, its data as `data`."""
    from sdtune.commands.recipe_classes import import_chosen
    from sdtune.commands.recipe_cli import RecipeCLI

    cli = RecipeCLI(words, build=False)
    config = cli.config
    try:
        data = cli.parser.instantiate(Namespace(data=config.data)).data
    except (ArgumentError, OSError, RuntimeError, TypeError, ValueError) as error:
        check = f"`sdtune check {shlex.quote(words[1])}` with the same options lists what is wrong."
        raise CallError([f"`data` cannot be built: {check}"]) from error
    values: dict[str, Any] = {"model": import_chosen(config.get("model")), "data": data}
    for part in ("model", "data"):
        arguments = config[part].get("init_args")
        values |= {f"{part}.{name}": value for name, value in (arguments or {}).items()}
    values |= {name: config.get(name) for name in CALL_KEYS}
    for name in ("precision", "accumulate_grad_batches", "logger"):
        values[f"trainer.{name}"] = config.trainer.get(name)
    for name in ("model.base", "data.resolution"):
        if name not in values:
            raise CallError([f"Expected a recipe with `{name}`, but its classes have none."])
    return values


def _count(values: dict[str, Any], said: str) -> float:
    """Count what a recipe takes, print a line, and give the bytes that a device needs for it."""
    from sdtune.estimation.memory import count_memory, dtype_of

    arguments = {
        name.removeprefix("model."): value
        for name, value in values.items()
        if name.startswith("model.") and name != "model.base"
    }
    try:
        module = values["model"](base="nano", **arguments)
    except (TypeError, ValueError) as error:
        raise CallError(getattr(error, "problems", [str(error)])) from error
    module.name_subjects(values["data"])  # words to learn may be made of its nouns
    accumulated = int(values.get("trainer.accumulate_grad_batches") or 1)
    counted = count_memory(
        module,
        values["model.base"],
        resolution=values["data.resolution"],
        batch_size=int(values.get("data.batch_size") or 1),
        accumulated=accumulated,
        dtype=dtype_of(str(values["trainer.precision"])),
    )
    needed = counted.total * _ALLOCATOR + _BESIDE
    if module.records_passes:
        networks = 2 if module.encodes_prompts_every_step else 1
        needed += networks * _RECORDING + 2 * counted.adapter  # gradients there, and copies of them
    share = "step" if accumulated == 1 else "batch"
    show(
        f"{said}: {needed / 1e9:.1f} GB: weights {counted.weights / 1e9:.2f}, what learns "
        f"{counted.adapter / 1e9:.2f}, optimizer {counted.optimizer / 1e9:.2f}, a step "
        f"{counted.step / 1e9:.2f}, and {(needed - counted.total) / 1e9:.2f} for the allocator, "
        f"recordings, the driver and libraries; {counted.flops / 1e12:.2f} TFLOP a {share}",
    )
    return needed


def _size(text: str) -> float:
    """Read a size such as 12GB.

    Raises:
        CallError: If it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if found is None or found[2] not in _UNITS or float(found[1]) == 0:
        raise CallError([f"Expected `--gpu` to be a size such as 12GB, but got `{text}`."])
    return float(found[1]) * _UNITS[found[2]]
