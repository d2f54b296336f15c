"""Runs that are killed with -9 at random moments and resumed, compared with runs that were not.

    python -m tests.kill_soak 1000              # kills; --seed N for others, --case lora for one
    python -m tests.kill_soak 1000 --tally soak.json     # goes on from what is counted there

Each trial trains one of the cases on a model of random weights, and kills it: at a random moment,
or at a random one of its operations on the disk, which a seed repeats. A run is killed up to three
times and then let go on to its end. All that it leaves must be equal to the last bit: adapters, the
checkpoint's tensors, grids, curves point by point. Processes are forked from one that has imported
everything, so that a kill costs no start.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, LearningRateMonitor
from lightning.pytorch.loggers import TensorBoardLogger

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.callbacks.adapter_checkpoint import AdapterCheckpoint
from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from sdtune.callbacks.sample_grid import SampleGrid
from sdtune.data.style import StyleDataModule
from sdtune.data.subject import SubjectDataModule
from sdtune.files.json_file import write_json
from sdtune.run_folder.checkpoints import Manifest, find_checkpoint
from sdtune.techniques.dreambooth import DreamBoothModule
from sdtune.techniques.lora_style import LoRAStyleModule
from sdtune.techniques.textual_inversion import TextualInversionModule
from tests.killed_runs import lost_points, outcome, torn_files
from tests.picture_folders import make_picture_folder
from tests.tiny_models import make_micro_sd

__all__ = ["CASES", "Bench", "Case", "Tally"]

STEPS = 8
_DISK = {"open", "os.rename", "os.link", "os.remove", "os.truncate", "os.mkdir", "shutil.rmtree"}
_WRITING = os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True)
class Case:
    """What is trained.

    Args:
        module: Makes the technique, from the base's folder.
        subject: Whether the data are of a subject, with class pictures to be drawn.
        data: Arguments of the data module.
        trainer: Arguments of the Trainer.
        averages: Whether an average of what learns is kept.
    """

    module: Callable[[str], pl.LightningModule]
    subject: bool = False
    data: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)
    averages: bool = False


def _lora(base: str, **arguments: Any) -> pl.LightningModule:
    return LoRAStyleModule(base, rank=2, **{"learning_rate": 1e-2, **arguments})


CASES: dict[str, Case] = {
    "lora": Case(_lora),
    "lora, cosine, validation in the epoch": Case(
        partial(_lora, lr_schedule="cosine", warmup_steps=2), trainer={"val_check_interval": 1}
    ),
    "lora, dropout, accumulation": Case(
        partial(_lora, dropout=0.3), trainer={"accumulate_grad_batches": 2}
    ),
    "lora, average": Case(_lora, averages=True),
    "lora, prodigy": Case(partial(_lora, optimizer="prodigy", learning_rate=1.0)),
    "lora, 8 bits": Case(partial(_lora, optimizer="adamw8bit")),
    "lora, schedule-free, text encoder": Case(
        partial(_lora, optimizer="adamw_schedule_free", text_encoder_learning_rate=1e-3)
    ),
    "lora, workers, random crops": Case(_lora, data={"num_workers": 1, "crop": "random"}),
    "words": Case(
        lambda base: TextualInversionModule("<disc>", "c", base, learning_rate=1e-2),
        data={"trigger": "<disc>"},
    ),
    "lora, two processes": Case(
        _lora, data={"batch_size": 1}, trainer={"devices": 2, "strategy": "ddp_fork"}
    ),
    "dreambooth, class pictures": Case(
        lambda base: DreamBoothModule(base, rank=2, learning_rate=1e-2, class_inference_steps=1),
        subject=True,
    ),
    "dreambooth, whole unet": Case(
        lambda base: DreamBoothModule(
            base, full_finetune=True, learning_rate=1e-3, prior_loss_weight=0
        ),
        subject=True,
        data={"class_prompt": None},
    ),
}


@dataclass
class Tally:
    """What came of the kills.

    Attributes:
        kills: How many processes were killed.
        survived: Kills of runs that ended equal to the last bit.
        resumed: Kills after which there was a checkpoint to go on from.
        runs: Runs that came to their end.
        torn: Files with names of their own that could not be read after a kill.
        lost: Points of curves that were missing at the end, or there twice.
        seed: Of the next trial.
        seconds: All that it took.
        failures: What was not equal, with the words that repeat it.
    """

    kills: int = 0
    survived: int = 0
    resumed: int = 0
    runs: int = 0
    torn: int = 0
    lost: int = 0
    seed: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.survived} of {self.kills} kills survived, {self.resumed} resumed, "
            f"{self.runs} runs, {self.torn} torn files, {self.lost} lost points, "
            f"{len(self.failures)} failures, {self.seconds:.0f} s"
        )


class Bench:
    """A model, pictures, and what undisturbed runs have left.

    Args:
        folder: Where everything is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = make_micro_sd(folder / "base")
        self.pictures = make_picture_folder(folder / "pictures", 6)
        self._references: dict[str, tuple[dict[str, Any], int, float]] = {}
        LoRAStyleModule(str(self.base)).load_base()  # imports what is imported late

    def trial(self, seed: int, case_name: str | None, kills: tuple[int, int], tally: Tally) -> None:
        """Kill a run and let it end, and count what came of it.

        Args:
            seed: Of the case, the number of kills and their moments.
            case_name: Which of `CASES`; None draws one.
            kills: How many kills there are at least and at most, unless the run ends before.
            tally: Counts.
        """
        draw = random.Random(seed)
        name = case_name or draw.choice(sorted(CASES))
        expected, operations, seconds = self._reference(name)
        run = self.folder / f"trial_{seed}"
        left, before = 1.0, tally.kills
        for _ in range(draw.randint(*kills)):
            if draw.random() < 0.5:
                ended = self._start(name, run, kill_at=int(draw.random() * operations * left))
            else:
                ended = self._start(name, run, kill_after=draw.random() * seconds * left)
            tally.kills += ended == -signal.SIGKILL
            torn = torn_files(run / "run")
            tally.torn += len(torn)
            tally.failures += [f"seed {seed}, {name}: {each} is torn" for each in torn]
            has_checkpoint = find_checkpoint(run / "run" / "checkpoints")[0] is not None
            left = _left(run / "run")
            tally.resumed += ended == -signal.SIGKILL and has_checkpoint
            if ended == 0:
                break
            if ended != -signal.SIGKILL:
                tally.failures.append(f"seed {seed}, {name}: failed\n{_log(run)}")
                return
            if not has_checkpoint:
                shutil.rmtree(run / "run", ignore_errors=True)  # a new run, in a folder of its own
        ended = self._start(name, run)
        tally.runs += 1
        if ended != 0:
            tally.failures.append(f"seed {seed}, {name}: the last start failed\n{_log(run)}")
            return
        found = outcome(run / "run")
        tally.lost += lost_points(expected, found)
        if found != expected:
            differing = [
                key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)
            ]
            tally.failures.append(f"seed {seed}, {name}: {sorted(differing)} differ in {run}")
            return
        tally.survived += tally.kills - before
        shutil.rmtree(run)

    def _reference(self, name: str) -> tuple[dict[str, Any], int, float]:
        if name not in self._references:
            run = self.folder / f"reference_{sorted(CASES).index(name)}"
            counted = run / "operations"
            begin = time.monotonic()
            ended = self._start(name, run, count_into=counted)
            seconds = time.monotonic() - begin
            if ended != 0:
                raise RuntimeError(f"{name} fails undisturbed:\n{_log(run)}")
            left = outcome(run / "run")
            self._references[name] = (left, int(counted.read_text()), seconds)
        return self._references[name]

    def _start(
        self,
        name: str,
        run: Path,
        *,
        kill_at: int | None = None,
        kill_after: float | None = None,
        count_into: Path | None = None,
    ) -> int:
        """Start or resume a run in a process; return how it ended, as subprocess does."""
        run.mkdir(parents=True, exist_ok=True)
        process = os.fork()
        if process == 0:
            code = 1
            try:
                os.setsid()
                output = os.open(run / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.dup2(output, 1)
                os.dup2(output, 2)
                counter = _count_operations(run, kill_at)
                _train(CASES[name], self.base, self.pictures, run)
                if count_into is not None:
                    count_into.write_text(str(counter.value))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        if kill_after is not None:
            end = time.monotonic() + kill_after
            while time.monotonic() < end:
                ended, status = os.waitpid(process, os.WNOHANG)
                if ended:
                    return os.waitstatus_to_exitcode(status)
                time.sleep(0.002)
            os.killpg(process, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _left(run: Path) -> float:
    """Estimate which share of a run is still to be done."""
    manifest = Manifest.load(run / "checkpoints")
    return 1.0 if manifest is None else max(0.1, 1 - manifest.checkpoints[0].step / STEPS)


def _train(case: Case, base: Path, pictures: Path, run: Path) -> None:
    torch.set_num_threads(1)
    # it reads what was written, takes most of the time, and is no part of what is resumed
    AdapterSet.verify = lambda *_: 0.0  # type: ignore[method-assign]
    arguments = {"resolution": 64, "batch_size": 2, "cache_dir": run / "cache", **case.data}
    data: pl.LightningDataModule
    if case.subject:
        prompts = {"instance_prompt": "an erica disc", "class_prompt": "a disc", "class_count": 3}
        data = SubjectDataModule(pictures, **{**prompts, **arguments})
    else:
        data = StyleDataModule(pictures, validation_count=1, **arguments)
    checkpoint, _ = find_checkpoint(run / "run" / "checkpoints")
    callbacks: list[pl.Callback] = [
        SampleGrid(["a red disc"], every_n_steps=4, num_inference_steps=1),
        AdapterCheckpoint(every_n_steps=3),
        ResumeCheckpoint(every_n_steps=2),
        LearningRateMonitor(),
    ]
    callbacks += [EMAWeightAveraging(decay=0.9)] if case.averages else []
    trainer = pl.Trainer(
        **{"max_steps": STEPS, "log_every_n_steps": 1, **case.trainer},
        accelerator="cpu",
        callbacks=callbacks,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        logger=TensorBoardLogger(run, "run", "", default_hp_metric=False),
    )
    trainer.fit(case.module(str(base)), data, ckpt_path=checkpoint, weights_only=True)


def _count_operations(run: Path, kill_at: int | None) -> Any:
    """Count what a process and its own do to the disk below a folder, and kill them at the n-th."""
    counter, process = multiprocessing.Value("i", 0), os.getpid()

    def see(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _DISK or not str(arguments[0]).startswith(place):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & _WRITING):
            return
        with counter.get_lock():
            if counter.value == kill_at:
                os.killpg(process, signal.SIGKILL)
            counter.value += 1

    place = str(run)
    sys.addaudithook(see)
    return counter


def _log(run: Path) -> str:
    return (run / "log").read_text(errors="replace")[-3000:]


def main() -> int:
    """Kill as often as the command line says, and tell what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", choices=sorted(CASES))
    parser.add_argument("--tally", type=Path, help="JSON file to count on in")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="to stop after")
    arguments = parser.parse_args()
    tally, begin = Tally(seed=arguments.seed), time.monotonic()
    if arguments.tally is not None and arguments.tally.exists():
        tally = Tally(**json.loads(arguments.tally.read_text()))
    earlier = tally.seconds
    with tempfile.TemporaryDirectory(prefix="kill_soak_") as folder:
        bench = Bench(Path(folder))
        while tally.kills < arguments.kills:
            if time.monotonic() - begin > 60 * arguments.minutes:
                break
            known = len(tally.failures)
            bench.trial(tally.seed, arguments.case, (1, 3), tally)
            tally.seed += 1
            tally.seconds = round(earlier + time.monotonic() - begin, 1)
            if arguments.tally is not None:
                write_json(arguments.tally, asdict(tally))
            new = tally.failures[known:]
            print("\r" + "\n".join([str(tally), *new]), end="\n" * bool(new), flush=True)  # noqa: T201
    print()  # noqa: T201
    return bool(tally.failures)


if __name__ == "__main__":
    sys.exit(main())
