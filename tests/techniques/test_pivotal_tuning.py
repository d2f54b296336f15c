"""PivotalTuningModule: a word and a LoRA, of which the word stops first."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import GradientAccumulationScheduler, LearningRateFinder
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from sdtune.data.style import StyleDataModule
from sdtune.data.subject import SubjectDataModule
from sdtune.techniques.number_watch import NotFiniteError
from sdtune.techniques.pivotal_tuning import PivotalTuningModule
from tests.equal_states import assert_equal_states
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer

STEPS = 5


def _module(base: Path, **arguments: object) -> PivotalTuningModule:
    arguments = {
        "initializer_token": "c",
        "rank": 2,
        "embedding_learning_rate": 1e-2,
        "learning_rate": 1e-2,
        "embedding_stop_fraction": 0.4,
        **arguments,
    }
    return PivotalTuningModule("<disc>", base=str(base), **arguments)


class Watch(pl.Callback):
    """Keep the rows after every step, and save a checkpoint after each if told where."""

    def __init__(self, saves: Path | None = None) -> None:
        self.rows: list[Tensor] = []
        self.lora: list[Tensor] = []
        self.saves = saves

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, *arguments: Any, **more: Any
    ) -> None:
        state = pl_module.state_dict()
        self.rows.append(pl_module.words.rows(pl_module.model)[0].detach().clone())
        self.lora.append(torch.cat([v.flatten() for n, v in state.items() if "lora_" in n]))
        if self.saves is not None:
            trainer.save_checkpoint(self.saves / f"{trainer.global_step}.ckpt")


def _data(folder: Path) -> StyleDataModule:
    return StyleDataModule(
        str(folder / "discs"),
        trigger="<disc>",
        resolution=64,
        batch_size=2,
        cache_dir=str(folder / "cache"),
    )


def _fit(
    module: PivotalTuningModule, folder: Path, watch: Watch, ckpt_path: Path | None = None
) -> None:
    data = _data(folder)
    trainer = quiet_trainer(max_steps=STEPS, callbacks=[watch], min_steps=1)
    trainer.fit(module, data, ckpt_path=ckpt_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_picture_folder(tmp_path / "discs")
    return tmp_path


@pytest.mark.parametrize("text_encoder_learning_rate", [None, 1e-2])
def test_the_word_stops_and_the_lora_goes_on(
    text_encoder_learning_rate: float | None, micro_sd: Path, folder: Path
) -> None:
    module = _module(
        micro_sd, text_encoder_learning_rate=text_encoder_learning_rate, embedding_norm="table"
    )
    watch = Watch()
    _fit(module, folder, watch)
    moved = [not a.equal(b) for a, b in zip(watch.rows, watch.rows[1:], strict=False)]
    assert moved == [True, False, False, False]  # 0.4 of 5 steps: two of them
    assert all(not a.equal(b) for a, b in zip(watch.lora, watch.lora[1:], strict=False))


def test_it_can_learn_beside_class_pictures(micro_sd: Path, folder: Path) -> None:
    points = []

    class Curves(Watch):
        def on_train_batch_end(self, trainer: pl.Trainer, *rest: Any, **more: Any) -> None:
            super().on_train_batch_end(trainer, *rest, **more)
            points.append({name: float(each) for name, each in trainer.logged_metrics.items()})

    watch, module = Curves(), _module(micro_sd, prior_loss_weight=0.5, class_inference_steps=1)
    data = SubjectDataModule(
        str(folder / "discs"),
        "a <disc>",
        class_prompt="a c",
        class_count=2,
        resolution=64,
        batch_size=2,
        cache_dir=str(folder / "cache"),
    )
    quiet_trainer(max_steps=STEPS, callbacks=[watch], min_steps=1).fit(module, data)
    for point in points:
        total = point["train/instance_loss"] + 0.5 * point["train/class_loss"]
        assert point["train/loss"] == pytest.approx(total, rel=1e-6)
    assert len(list((folder / "cache").rglob("class_pictures/*/*.png"))) == 2
    moved = [not a.equal(b) for a, b in zip(watch.rows, watch.rows[1:], strict=False)]
    assert moved == [True, False, False, False]  # the word stops as ever


def test_its_gradients_are_watched(micro_sd: Path, folder: Path) -> None:
    class Poison(Watch):
        def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
            next(module.parameters()).grad.fill_(torch.inf)

    with pytest.raises(NotFiniteError, match="The gradient of step 1 is not"):
        _fit(_module(micro_sd), folder, Poison())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text_encoder_learning_rate", "saves"),
    # where text encoders learn, captions are read anew before and after the stop
    [(None, (1, 2, 3)), (1e-2, (2,))],
)
def test_resume_is_exact_before_at_and_after_the_stop(
    text_encoder_learning_rate: float | None, saves: tuple[int, ...], micro_sd: Path, folder: Path
) -> None:
    arguments = {"text_encoder_learning_rate": text_encoder_learning_rate}
    whole = _module(micro_sd, **arguments)
    _fit(whole, folder, Watch(folder))
    for save_at in saves:
        resumed, watch = _module(micro_sd, **arguments), Watch()
        _fit(resumed, folder, watch, ckpt_path=folder / f"{save_at}.ckpt")
        assert len(watch.rows) == STEPS - save_at
        assert_equal_states(whole, resumed)


def test_a_word_that_stopped_is_encoded_once(
    micro_sd: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = _module(micro_sd)
    module.load_base()
    encoded = []
    encode = module.model.encode_prompts
    monkeypatch.setattr(
        module.model, "encode_prompts", lambda *a: encoded.append(a[0]) or encode(*a)
    )
    _fit(module, folder, Watch())
    # the first two steps encode two captions each; then each of the four once
    assert [len(prompts) for prompts in encoded] == [2, 2, 1, 1, 1, 1]


class Overflow(pl.Callback):
    """Make the gradient of some steps infinite."""

    def __init__(self, *steps: int) -> None:
        self.steps = steps

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        if trainer.global_step + 1 in self.steps:
            next(module.parameters()).grad.fill_(torch.inf)


@pytest.mark.filterwarnings("ignore:The gradient of step")
@pytest.mark.parametrize(
    ("faults", "learning"),
    [
        # two of five steps, and then its good state is kept
        ([4], [True, True, False, False, False]),
        # the fault of step 2 is found as the word stops: it begins anew
        ([2], [True, True, True, True, False]),
        ([1, 3], [True, True, True, True, True]),
    ],
)
def test_a_word_learns_as_long_however_often_training_goes_back(
    faults: list[int], learning: list[bool], micro_sd: Path, folder: Path
) -> None:
    module, watch = _module(micro_sd, roll_backs=2), Watch()
    module.load_base()
    first = module.words.rows(module.model)[0].detach().clone()
    trainer = quiet_trainer(max_steps=STEPS, callbacks=[watch, Overflow(*faults)])
    trainer.fit(module, _data(folder))
    rows = [first, *watch.rows]
    moved = [not torch.equal(a, b) for a, b in pairwise(rows)]
    assert moved == learning
    if faults == [4]:
        assert torch.equal(watch.rows[1], watch.rows[-1])


@pytest.mark.slow
def test_a_finder_leaves_nothing_that_it_encoded(micro_sd: Path, folder: Path) -> None:
    finder = LearningRateFinder(
        num_training_steps=6, update_attr=False, early_stop_threshold=None, mode="linear"
    )
    plain, found = _module(micro_sd), _module(micro_sd)
    for module, callbacks in ((plain, []), (found, [finder])):
        trainer = quiet_trainer(max_steps=STEPS, callbacks=callbacks, default_root_dir=folder)
        trainer.fit(module, _data(folder))
    assert_equal_states(plain, found)


def test_whatever_writes_a_word_is_what_its_captions_are_encoded_with(
    micro_sd: Path, folder: Path
) -> None:
    module = _module(micro_sd)
    _fit(module, folder, Watch())
    _fit(module, folder, Watch())  # learns again, and stops again
    (rows,) = module.words.rows(module.model)
    caption = _data(folder).captions()[0]

    @torch.no_grad()
    def used() -> Tensor:
        return module._conditioning([caption]).encoder_hidden_states

    @torch.no_grad()
    def expected() -> Tensor:
        return module.encode([caption]).encoder_hidden_states

    before, state = expected(), {name: each + 0.1 for name, each in module.state_dict().items()}
    assert torch.equal(used(), before)
    for write in (lambda: torch.no_grad()(rows.mul_)(2), lambda: module.load_state_dict(state)):
        write()
        assert torch.equal(used(), expected())
        assert not torch.equal(expected(), before)
        before = expected()


def test_word_and_lora_have_their_own_rates(micro_sd: Path) -> None:
    module = _module(
        micro_sd,
        num_vectors=2,
        embedding_learning_rate=1e-1,
        learning_rate=1e-2,
        text_encoder_learning_rate=1e-3,
    )
    module.load_base()
    groups = {group["name"]: group for group in module.parameter_groups()}
    rates = {name: group["lr"] for name, group in groups.items()}
    assert rates == {"unet": 1e-2, "text_encoder": 1e-3, "embedding": 1e-1}
    assert [p.shape for p in groups["embedding"]["params"]] == [(2, 16)]
    grouped = sum(p.numel() for group in groups.values() for p in group["params"])
    assert grouped == sum(p.numel() for p in module.parameters() if p.requires_grad)


def test_the_base_is_without_word_and_lora(micro_sd: Path) -> None:
    module = _module(micro_sd)
    module.load_base()
    settings = {"num_inference_steps": 1, "use_adapter": False}
    before = module.generate(["a <disc>"], [0], **settings)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter += 0.5
    after = module.generate(["a <disc>"], [0], **settings)
    torch.testing.assert_close(before, after, rtol=0, atol=0)
    assert (module.generate(["a <disc>"], [0], num_inference_steps=1) - after).abs().max() > 1e-3


def test_a_share_of_a_run_without_an_end_is_refused(micro_sd: Path) -> None:
    endless = quiet_trainer(max_steps=-1, max_time="00:00:00:02")
    [problem] = _module(micro_sd).problems_with_trainer(endless)
    assert "say where the run ends, for the word stops after 0.4 of it" in problem
    assert _module(micro_sd, embedding_stop_fraction=1.0).problems_with_trainer(endless) == []
    assert _module(micro_sd).problems_with_trainer(quiet_trainer(max_steps=5)) == []
    endless.state.fn = TrainerFn.VALIDATING
    assert _module(micro_sd).problems_with_trainer(endless) == []


def test_a_word_that_never_stops_needs_no_end(micro_sd: Path, folder: Path) -> None:
    module = _module(micro_sd, embedding_stop_fraction=1.0)
    quiet_trainer(max_steps=-1, max_time={"milliseconds": 50}).fit(module, _data(folder))
    assert module.global_step
    assert module.words.is_learning


def test_steps_are_counted_as_they_are_accumulated(micro_sd: Path, folder: Path) -> None:
    module, watch = _module(micro_sd, embedding_stop_fraction=0.5), Watch()
    callbacks = [watch, GradientAccumulationScheduler({1: 2})]
    quiet_trainer(max_steps=-1, max_epochs=3, callbacks=callbacks).fit(module, _data(folder))
    assert module.global_step == 2 + 1 + 1  # of two batches each
    moved = [not torch.equal(a, b) for a, b in pairwise(watch.rows)]
    assert moved == [True, False, False, False, False]


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.5])
def test_a_stop_outside_of_the_run_is_refused(fraction: float, micro_sd: Path) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1, but got"):
        _module(micro_sd, embedding_stop_fraction=fraction)


def test_all_bad_arguments_are_listed_at_once() -> None:
    with pytest.raises(ValueError, match="angle brackets") as caught:
        PivotalTuningModule("erica", "c", base="no such base", rank=0, embedding_learning_rate=0.0)
    assert len(str(caught.value).splitlines()) == 4
