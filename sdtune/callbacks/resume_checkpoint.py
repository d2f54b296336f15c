"""The checkpoints to resume from, which no crash, full disk or signal can spoil."""

from __future__ import annotations

import signal
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from sdtune._checks import check_all, check_positive
from sdtune._resumed_checkpoint import (
    forget_resumed,
    given_checkpoint,
    is_resumed_within,
    note_resumed,
)
from sdtune._run_steps import total_steps
from sdtune.callbacks.checkpoint_names import name_problems
from sdtune.callbacks.checkpoint_publisher import publish_before_others
from sdtune.callbacks.epoch_ends import (
    averages_weights,
    ends_epoch,
    ends_within_epoch,
    is_last_epoch,
)
from sdtune.callbacks.found_values import keep_found
from sdtune.callbacks.late_states import LateStates
from sdtune.callbacks.pending_checkpoint import (
    PendingCheckpoint,
    moment_of,
    remove_checkpoint,
    unwritten,
)
from sdtune.callbacks.periodic import begins_anew, begins_to_write, goes_elsewhere, is_trial
from sdtune.callbacks.resumed_recipe import check_recipe, recipe_of
from sdtune.callbacks.step_end import STEP_END, stay_ended, step_end, told_by
from sdtune.callbacks.stop_signals import (
    Stopped,
    StopSignals,
    requeue,
    stopped_before_steps,
)
from sdtune.evaluation.technique import WatchesNumbers
from sdtune.files.atomic_file import remove_leftovers, temporary_sibling
from sdtune.run_folder.checkpoints import Kept, damage_of, go_on_from
from sdtune.run_folder.event_files import EVENT_FILES, forget_events
from sdtune.run_folder.event_reading import event_lengths_until
from sdtune.run_folder.fresh_folder import refuse_links, refuse_used_folder
from sdtune.run_folder.layout import CHECKPOINT
from sdtune.run_folder.resumes import note_resume
from sdtune.run_folder.run_lock import RunLock
from sdtune.run_folder.run_process import note_steps

__all__ = ["ResumeCheckpoint"]


class ResumeCheckpoint(ModelCheckpoint):
    """Keep `checkpoints/last.ckpt` in the run folder, written every n steps and at the end.

    It is written beside the old one and gets its name when all that belongs to its step is on the
    disk: the curves, the validation, pictures and scores. So nothing is missing of a run that is
    killed and resumed, and nothing is there twice: what was logged after the step is cut off.
    `checkpoints/manifest.json` has the checkpoints' hashes; of a damaged one, the one before is
    taken.

    Ctrl-C, SIGTERM, SIGUSR1 and SIGUSR2 end training after the step, with what is due at it, and
    with a checkpoint of it; a second signal ends it at once. The process exits with 128 and the
    signal's number: 130, 143, 138, 140.

    Args:
        every_n_steps: Optimizer steps between two checkpoints. None for once an epoch.
        keep_last: How many checkpoints stay: `last.ckpt` and those before it, `step_000200.ckpt`.

    Raises:
        ValueError: If a number is not positive.
    """

    def __init__(self, every_n_steps: int | None = None, keep_last: int = 2) -> None:
        check_all(
            lambda: check_positive("every_n_steps", every_n_steps, of="integer or None"),
            lambda: check_positive("keep_last", keep_last, of="integer"),
        )
        super().__init__(
            filename=self.CHECKPOINT_NAME_LAST,
            save_top_k=1,
            every_n_train_steps=every_n_steps,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        self.keep_last = keep_last
        self.signals = StopSignals()
        self._kept: list[Kept] = []
        self._pending: PendingCheckpoint | None = None
        self._states: LateStates | None = None
        self._recipe: dict[str, Any] = {}
        self.told: dict[str, Any] = {}
        self._lock: RunLock | None = None
        self._run_folder = Path()
        self._curves: list[Path] = []
        self._stops = self._is_due = False

    @property
    def state_key(self) -> str:
        """Name the state in a checkpoint, whatever the interval."""
        return type(self).__qualname__

    def problems_with_trainer(self, trainer: Trainer) -> list[str]:
        """List the callbacks that would write over these checkpoints.

        Args:
            trainer: The trainer, before it has started anything.

        Returns:
            One sentence each.
        """
        return [] if is_trial(trainer) else name_problems(trainer, self)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the folder, keep others out of it, and clear away what killed processes left.

        Raises:
            FileExistsError: If another process trains there.
            ValueError: If something in it is a link that leads out of it, or another callback
                writes checkpoints of these names there.
        """
        if stage == "fit" and begins_anew(trainer):
            self._forget_run()
        forget_resumed(trainer)
        with warnings.catch_warnings():  # a resumed run's folder is not empty, and no other may be
            warnings.filterwarnings("ignore", message="Checkpoint directory .* is not empty")
            super().setup(trainer, pl_module, stage)
        # a collective call, so it is made here, where all ranks are
        self._run_folder = Path(trainer.log_dir or trainer.default_root_dir)
        self._pending, self.told, self._stops, self._is_due = None, {}, False, False
        if stage != "fit" or is_trial(trainer):
            return
        if problems := name_problems(trainer, self):
            raise ValueError(" ".join(problems))
        publish_before_others(trainer, self)
        self.signals.listen(trainer)
        if not trainer.is_global_zero:
            return
        refuse_links(self._run_folder)
        self._lock = RunLock(self._run_folder)
        self._lock.acquire()
        remove_leftovers(self._run_folder)
        self._curves = [*self._run_folder.glob(EVENT_FILES)]

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """See whether the run can go on, note what has changed, and cut off what is given up.

        Raises:
            FileExistsError: If the folder is another run's than the one that is resumed.
            RecipeChangedError: If the recipe has changed in what cannot.
            ValueError: If the checkpoint is damaged.
        """
        path = given_checkpoint(trainer)  # a finder restores what was before its trials, too
        if trainer.state.fn != TrainerFn.FITTING or path is None or is_trial(trainer):
            return
        note_resumed(trainer, checkpoint)
        step = int(checkpoint["global_step"])
        problem = damage_of(path)
        if problem is not None:
            raise ValueError(
                f"{problem} Take the one before: `--resume` with the run's folder does."
            )
        data = getattr(trainer, "datamodule", None)
        changes = check_recipe(trainer, pl_module, data, checkpoint)
        keep_found(trainer, pl_module, checkpoint)
        if goes_elsewhere(trainer, Path(str(self.dirpath)).parent):
            refuse_used_folder(str(self.dirpath))
        self._kept, self._last_global_step_saved = [], 0
        self.told = told_by(checkpoint)
        stay_ended(trainer, checkpoint)
        if not trainer.is_global_zero:
            return
        note_resume(self._run_folder, step, changes)
        if changes:
            listed = ", ".join(map(str, changes))
            rank_zero_info(f"From step {step} on with another recipe: {listed}.")
        folder = Path(str(self.dirpath)).resolve()
        if is_resumed_within(trainer, folder.parent):
            lengths = partial(event_lengths_until, self._curves, step)
            self._kept = go_on_from(path.resolve(), folder, step, lengths, self.keep_last)
            forget_events(self._curves, self._kept[0].events)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse to write over another run's checkpoint."""
        super().on_train_start(trainer, pl_module)
        if begins_to_write(trainer):
            refuse_used_folder(str(self.dirpath))
        self._recipe = recipe_of(trainer, pl_module, getattr(trainer, "datamodule", None))
        if not is_trial(trainer):
            self.stop_before_steps(trainer)  # the other callbacks may have drawn for minutes
            self.signals.takes_steps = True
            steps = total_steps(trainer)  # asked for by all ranks alike
            if trainer.is_global_zero:
                note_steps(self._run_folder, steps)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Write every n-th step, and the one after which training is asked to stop.

        Where weights are averaged, an epoch's last step is written at the epoch's end, for the
        average may take that in. One that training stops at inside an epoch is always written now:
        then comes an end that a longer run does not have there.
        """
        if is_trial(trainer) or trainer.fit_loop.epoch_loop._should_accumulate():
            return  # gradients that are summed up are in no checkpoint
        averages, every = averages_weights(trainer), self._every_n_train_steps
        is_put_off = averages and ends_epoch(trainer)
        if is_put_off:
            self._is_due = every > 0 and trainer.global_step % every == 0
        else:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if self.signals.asked(trainer):
            self._stops = self._is_due = True
        if not is_put_off and (self._stops or ends_within_epoch(trainer)):
            self._save_unless_saved(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what was put off, and the last step before an average overwrites its weights."""
        super().on_train_epoch_end(trainer, pl_module)
        if averages_weights(trainer) and (self._is_due or is_last_epoch(trainer)):
            self._save_unless_saved(trainer)
        self._is_due = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last step too."""
        self._save_unless_saved(trainer)
        self.publish_pending(trainer)
        self.signals.leave()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Name the checkpoint that is written, if all of its step is; else drop it."""
        pending = self._pending
        try:
            if pending is not None and moment_of(trainer) != pending.moment:
                is_alone = trainer.world_size == 1  # the others may be gone: nothing is gathered
                self._pending = pending if is_alone else replace(pending, states=None)
                self.publish_pending(trainer)
        finally:
            self._drop_pending()
            self.signals.leave()
            self._leave()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let others train in the folder, and handle signals."""
        super().teardown(trainer, pl_module, stage)
        self.signals.leave()
        self._leave()

    def state_dict(self) -> dict[str, Any]:
        """Remember the recipe, for a run that is resumed by another one."""
        return {**super().state_dict(), "recipe": self._recipe}

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what the step has told, and note the states that may move on until it is named."""
        checkpoint[STEP_END] = step_end(trainer)
        self._states = LateStates.within(checkpoint, trainer, self)

    def publish_pending(self, trainer: Trainer) -> None:
        """Give the checkpoint that is written its name, when the curves are on the disk.

        Args:
            trainer: The trainer.

        Raises:
            OSError: If the disk is full, or the folder cannot be written to any more.
        """
        self.renew_states(trainer)
        pending, self._pending = self._pending, None
        if pending is None or not trainer.is_global_zero:
            return
        self._kept = pending.publish(trainer, self._run_folder, self._kept, self.keep_last)

    def renew_states(self, trainer: Trainer) -> None:
        """Put into the pending checkpoint what its validation and epoch's end have told callbacks.

        A resumed run does neither again. Called on every rank; nothing that is told later counts.

        Args:
            trainer: The trainer.

        Raises:
            OSError: If the disk is full, or the folder cannot be written to any more.
        """
        pending, self._pending = self._pending, None
        self._pending = None if pending is None else pending.renewed(trainer, self)

    def stop_before_steps(self, trainer: Trainer) -> None:
        """End training before its first step if that was asked for. Called on every rank.

        Args:
            trainer: The trainer.

        Raises:
            Stopped: If so.
        """
        if self.signals.asked(trainer):
            number = self.signals.received or signal.SIGTERM  # which another process has received
            raise Stopped(number, stopped_before_steps(trainer, number))

    def stop_if_asked(self, trainer: Trainer) -> None:
        """End training if that was asked for and the checkpoint of the step is written.

        Args:
            trainer: The trainer, before a step.

        Raises:
            Stopped: If so.
        """
        if not self._stops:
            return
        trainer.strategy.barrier()
        number = self.signals.received or signal.SIGTERM  # which another process has received
        place = Path(str(self.dirpath)) / CHECKPOINT.name
        queued = " The job is in the queue again." if requeue(trainer, number) else ""
        story = f"Training stopped after step {trainer.global_step}, kept in {place}.{queued}"
        raise Stopped(number, story)

    def _forget_run(self) -> None:
        """Be as constructed: an earlier fit's folder and files are another run's."""
        self.dirpath = self.best_model_score = self.current_score = None
        self._last_checkpoint_saved = self.best_model_path = self.kth_best_model_path = ""
        self.last_model_path, self.best_k_models = "", {}
        self._last_global_step_saved, self._recipe, self._kept = 0, {}, []

    def _save_unless_saved(self, trainer: Trainer) -> None:
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        if isinstance(trainer.lightning_module, WatchesNumbers):
            trainer.lightning_module.check_numbers()  # before it is copied: it may go back
        self.publish_pending(trainer)
        path, step = Path(filepath), trainer.global_step
        temporary = Path(trainer.strategy.broadcast(str(temporary_sibling(path))))
        self._states = None
        try:
            if trainer.is_global_zero and self._kept and not path.parent.is_dir():
                raise FileNotFoundError(f"{path.parent} has vanished while training went on")
            # whatever the strategy does to write it; all ranks take part and wait for each other
            super()._save_checkpoint(trainer, str(temporary))
        except BaseException as error:
            remove_checkpoint(temporary)
            if isinstance(error, OSError):
                raise unwritten(path, step, error) from error
            raise
        moment = moment_of(trainer)
        self._pending = PendingCheckpoint(temporary, path, step, moment, self._states)
        trainer.strategy.barrier()
        self._last_checkpoint_saved = filepath

    def _drop_pending(self) -> None:
        if self._pending is not None:
            remove_checkpoint(self._pending.temporary)
            self._pending = None

    def _leave(self) -> None:
        if self._lock is not None:
            self._lock.release()
