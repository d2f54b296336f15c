import shutil
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.lora import LoRAAdapter, add_lora, lora_parameters
from sdtune.callbacks.adapter_checkpoint import AdapterCheckpoint
from sdtune.callbacks.evaluation import AdapterKeeper, EvaluationCallback, _copy_pictures
from sdtune.callbacks.hyperparameters import Hyperparameters, LogsMetrics
from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from sdtune.comparison.execution import Outcome
from sdtune.comparison.results import ComparedRun
from sdtune.comparison.settings import TableSettings
from sdtune.comparison.tables import build_table
from sdtune.data.pictures import Picture
from sdtune.metrics.registry import METRICS, register
from sdtune.models import load
from sdtune.report.run_report import write_report
from sdtune.run_folder.record import Evaluation
from tests.callbacks.fake_technique import FakeData, FakeTechnique, make_trainer
from tests.metrics.brightness import BRIGHTNESS
from tests.metrics.tiny_networks import make_tiny_clip, random_images

TRAINING = random_images(4, seed=0)
PROMPTS = ["a cat", "a dog"]


@pytest.fixture(scope="session")
def clip(micro_sd, tmp_path_factory):
    return str(make_tiny_clip(tmp_path_factory.mktemp("judge") / "clip", micro_sd / "tokenizer"))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    found = []
    for number, image in enumerate(TRAINING):
        path = folder / f"{number}.png"
        Image.fromarray((255 * image).byte().permute(1, 2, 0).numpy()).save(path)
        found.append(Picture(path, path.name, f"picture {number}"))
    return found


class TinyLoRA(FakeTechnique):
    """A LoRA on a Stable Diffusion; at step 2 it draws the training pictures, else others."""

    def __init__(self, folder):
        super().__init__()
        self.model = load(folder)
        add_lora(self.model, rank=1, alpha=1.0, target_modules=["to_q"])

    def training_step(self, batch, batch_idx):
        noise = torch.rand(())
        return sum((parameter - noise).square().sum() for parameter in lora_parameters(self))

    def configure_optimizers(self):
        return torch.optim.SGD(lora_parameters(self), lr=0.01)

    def adapter(self):
        return AdapterSet(LoRAAdapter.from_model(self.model))

    def generate(self, prompts, seeds, *, use_adapter=True, **settings):
        self.calls.append((self.global_step, use_adapter))
        torch.rand(3)
        if self.global_step == 2 and use_adapter:
            return TRAINING[: len(prompts)].clone()
        return random_images(len(prompts), seed=1 + self.global_step * use_adapter)


def callback(clip, tmp_path, **changes):
    defaults = {
        "every_n_steps": 2,
        "num_inference_steps": 2,
        "clip": clip,
        "goal": "subject",
        "max_memorised_share": 1.0,
        "max_clip_score_drop": 9.0,
        "cache_dir": tmp_path / "cache",
    }
    return EvaluationCallback(PROMPTS, **(defaults | changes))


def contents(folder):
    """The bytes of all files below a folder."""
    files = [each for each in folder.rglob("*") if each.is_file()]
    return {each.relative_to(folder).as_posix(): each.read_bytes() for each in files}


def fit(folder, technique, pictures, *callbacks, ckpt_path=None, **arguments):
    torch.manual_seed(0)
    trainer = make_trainer(folder, *callbacks, **arguments)
    data = FakeData(validate=False)
    data.train_dataset, data.val_dataset = (
        SimpleNamespace(pictures=each) for each in (pictures, [])
    )
    trainer.fit(technique, data, ckpt_path=ckpt_path)
    return technique


@pytest.mark.slow
def test_every_checkpoint_is_scored_the_best_kept_and_training_undisturbed(
    tmp_path, micro_sd, clip, pictures
):
    logger = TensorBoardLogger(tmp_path, name=None, version="run", default_hp_metric=False)
    evaluation = callback(clip, tmp_path, class_prompts=["a pet"])
    assert isinstance(evaluation, LogsMetrics)
    keeper = AdapterCheckpoint(2, keep=1)
    assert isinstance(keeper, AdapterKeeper)
    technique = fit(
        tmp_path, TinyLoRA(str(micro_sd)), pictures, evaluation, keeper, Hyperparameters(),
        logger=logger, max_steps=4,
    )  # fmt: skip
    alone = fit(tmp_path / "alone", TinyLoRA(str(micro_sd)), pictures, max_steps=4)
    pairs = zip(lora_parameters(technique), lora_parameters(alone), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)

    run = tmp_path / "run"
    record = Evaluation.load(run)
    assert record.finished
    assert [each.label for each in record.checkpoints] == ["base", "step_000002", "step_000004"]
    assert record.best.label == "step_000002"
    assert [each.adapter for each in record.checkpoints] == [None, None, "adapter/step_000004"]
    assert 0.0 < record.cost.share_of_run < 1.0
    assert record.run.technique == "TinyLoRA"
    assert record.training_pictures.count == 4
    assert {each.memorised for each in record.checkpoint("step_000002").nearest} == {True}
    best = next((run / "adapter" / "best").glob("*.safetensors"))
    final = next((run / "adapter").glob("*.safetensors"))
    pairs = zip(load_file(best).values(), load_file(final).values(), strict=True)
    assert not all(torch.equal(one, other) for one, other in pairs)

    events = EventAccumulator(logger.log_dir).Reload()
    assert [each.step for each in events.Scalars("eval/clip_i")] == [0, 2, 4]
    assert [each.step for each in events.Scalars("eval/class_drift")] == [2, 4]
    table = HParamsPluginData()
    table.ParseFromString(events.SummaryMetadata("_hparams_/experiment").plugin_data.content)
    tags = [each.name.tag for each in table.experiment.metric_infos]
    assert {"eval/clip_score", "eval/class_drift", "val/loss"} <= set(tags)


@pytest.fixture
def brightness():
    """A metric from outside the package, registered by its one line."""
    yield register(BRIGHTNESS)
    del METRICS["brightness"]


@pytest.mark.slow
def test_a_metric_from_outside_is_shown_wherever_the_others_are(
    tmp_path, micro_sd, clip, pictures, brightness
):
    logger = TensorBoardLogger(tmp_path, name=None, version="run", default_hp_metric=False)
    evaluation = callback(clip, tmp_path, goal="brightness")
    assert evaluation.metric_tags[-1] == "eval/brightness"
    fit(tmp_path, TinyLoRA(str(micro_sd)), pictures, evaluation, Hyperparameters(), logger=logger,
        max_steps=4)  # fmt: skip
    run = tmp_path / "run"
    record = Evaluation.load(run)
    assert list(record.metrics)[-1] == "brightness"
    base, second, _ = record.checkpoints
    figure, change = second.figures["brightness"], second.against_base["brightness"]
    assert figure.value == pytest.approx(float(TRAINING.mean()), abs=1e-6)
    assert figure.low < figure.value < figure.high
    assert len(second.per_sample["brightness"]) == figure.count == 4
    assert change.difference == pytest.approx(figure.value - base.figures["brightness"].value)
    assert change.low < change.difference < change.high
    brightest = max(record.checkpoints[1:], key=lambda each: each.figures["brightness"].value)
    assert record.best.label == brightest.label
    assert record.best.rule.startswith("The highest brightness among the checkpoints")

    events = EventAccumulator(logger.log_dir).Reload()
    assert [each.step for each in events.Scalars("eval/brightness")] == [0, 2, 4]
    table = HParamsPluginData()
    table.ParseFromString(events.SummaryMetadata("_hparams_/experiment").plugin_data.content)
    assert "eval/brightness" in [each.name.tag for each in table.experiment.metric_infos]

    page = write_report(run).read_text(encoding="utf-8")
    assert BRIGHTNESS.meaning in page
    assert BRIGHTNESS.limits in page
    assert "brightness over steps, with 95 % intervals" in page

    finished = Outcome("toy", "finished", "", "sdtune fit", 60.0, str(run))
    results = [ComparedRun("toy", "toy", finished, evaluation=record)]
    compared = build_table(TableSettings("T"), results)
    assert compared.columns[-1] == "brightness ↑"
    shown, below = compared.rows[-1][-1].split("\n")  # the difference from the base
    assert shown.startswith("0.")
    assert below.endswith(record.checkpoints[-1].against_base["brightness"].verdict)


@pytest.mark.slow
def test_an_adapter_that_draws_what_is_not_finite_is_not_scored(
    tmp_path, micro_sd, clip, pictures, caplog
):
    class Broken(TinyLoRA):
        def generate(self, prompts, seeds, *, use_adapter=True, **settings):
            images = super().generate(prompts, seeds, use_adapter=use_adapter, **settings)
            if self.global_step == 4 and use_adapter:
                images[1, 0, 0, 0] = torch.nan
            return images

    fit(tmp_path, Broken(str(micro_sd)), pictures, callback(clip, tmp_path), max_steps=4)
    record = Evaluation.load(tmp_path)
    assert record.checkpoint("step_000004").figures == {}
    assert record.best.label == "step_000002"
    assert record.best.excluded[0].reason.startswith("Its pictures are not finite numbers")
    assert "step_000004 is not scored: 1 of its pictures holds values that are" in caplog.text
    assert "not measured" in write_report(tmp_path).read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_resumed_run_keeps_its_past_and_drops_a_future_that_is_given_up(
    tmp_path, micro_sd, clip, pictures
):
    run, last = tmp_path / "run", tmp_path / "run" / "checkpoints" / "last.ckpt"

    def go(max_steps, ckpt_path=None):
        callbacks = [callback(clip, tmp_path), AdapterCheckpoint(2), ResumeCheckpoint(2)]
        technique = TinyLoRA(str(micro_sd))
        return fit(
            run, technique, pictures, *callbacks, max_steps=max_steps, ckpt_path=ckpt_path
        ).calls

    assert go(2) == [(0, False), (2, True)]
    early = shutil.copy(last, last.with_name("early.ckpt"))
    before = Evaluation.load(run).checkpoint("step_000002")
    assert go(6, last) == [(4, True), (6, True)]  # the base comes from the cache
    assert [each.step for each in Evaluation.load(run).checkpoints] == [0, 2, 4, 6]
    assert go(4, early) == [(4, True)]
    record = Evaluation.load(run)
    assert [each.step for each in record.checkpoints] == [0, 2, 4]
    assert record.checkpoint("step_000002") == before
    assert record.best.label == "step_000002"
    assert any((run / "adapter" / "best").glob("*.safetensors"))
    assert not (run / "evaluation" / "step_000006").exists()
    elsewhere = tmp_path / "elsewhere"
    callbacks = callback(clip, tmp_path), AdapterCheckpoint(2)
    fit(elsewhere, TinyLoRA(str(micro_sd)), pictures, *callbacks, max_steps=4, ckpt_path=early)
    assert [each.step for each in Evaluation.load(elsewhere).checkpoints] == [0, 2, 4]
    assert (elsewhere / "evaluation" / "step_000002" / "prompt_00_seed_0.png").is_file()
    assert contents(elsewhere / "adapter" / "best") == contents(run / "adapter" / "best")


def test_a_trainer_that_fits_once_more_goes_on_with_the_scores_of_its_run(
    tmp_path, micro_sd, clip, pictures
):
    technique, keeper = TinyLoRA(str(micro_sd)), AdapterCheckpoint(2)
    trainer = make_trainer(tmp_path, callback(clip, tmp_path), keeper, max_steps=2)
    data = FakeData(validate=False)
    data.train_dataset, data.val_dataset = (
        SimpleNamespace(pictures=each) for each in (pictures, [])
    )
    trainer.fit(technique, data)
    before = Evaluation.load(tmp_path)
    trainer.fit_loop.epoch_loop.max_steps = 4
    trainer.fit(technique, data)
    record = Evaluation.load(tmp_path)
    assert technique.calls == [(0, False), (2, True), (4, True)]
    assert [each.step for each in record.checkpoints] == [0, 2, 4]
    assert record.checkpoints[:2] == before.checkpoints
    assert record.best.label == "step_000002"
    assert contents(tmp_path / "adapter" / "best") == contents(keeper.folder_of(2))


@pytest.mark.slow
def test_the_last_step_of_a_killed_run_is_scored_when_it_is_resumed(
    tmp_path, micro_sd, clip, pictures, monkeypatch
):
    def go(ckpt_path=None):
        callbacks = [AdapterCheckpoint(2), callback(clip, tmp_path), ResumeCheckpoint(1)]
        technique = TinyLoRA(str(micro_sd))
        fit(tmp_path, technique, pictures, *callbacks, max_steps=3, ckpt_path=ckpt_path)
        return technique.calls

    def killed(self, trainer, pl_module):
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(EvaluationCallback, "on_train_end", killed)
        with pytest.raises(RuntimeError, match="killed"):
            go()
    shutil.rmtree(tmp_path / "adapter" / "step_000003")
    assert [each.step for each in Evaluation.load(tmp_path).checkpoints] == [0, 2]
    for calls in ([(3, True)], []):
        assert go(tmp_path / "checkpoints" / "last.ckpt") == calls
        record = Evaluation.load(tmp_path)
        assert record.finished
        assert [each.step for each in record.checkpoints] == [0, 2, 3]
        assert record.checkpoint("step_000003").adapter == "adapter/step_000003"


@pytest.mark.slow
def test_the_best_of_a_given_up_future_gives_way(tmp_path, micro_sd):
    keeper = AdapterCheckpoint(2)
    keeper.folder = tmp_path / "adapter"
    technique, best = TinyLoRA(str(micro_sd)), keeper.folder / "best"
    technique.adapter().save(keeper.folder / "step_000002", {"sdtune.steps": "2"})
    with torch.no_grad():
        for parameter in lora_parameters(technique):
            parameter += 0.1
    keeper.keep_best(0, technique)  # the step that it is at
    assert "kohya_lora.safetensors" in contents(best)
    keeper.keep_best(2, technique)
    kept = contents(best)
    assert kept == contents(keeper.folder / "step_000002")
    assert "kohya_lora.safetensors" in kept
    assert (best / "peft" / "unet" / "adapter_config.json").is_file()
    resumed = AdapterCheckpoint(2)
    resumed.folder = tmp_path / "elsewhere"
    resumed._resumed_run = keeper.folder.parent
    resumed.keep_best(2, technique)
    assert contents(resumed.folder / "best") == kept
    for step in (6, None):
        keeper.keep_best(2, technique)
        keeper.keep_best(step, technique)
        assert not best.exists()
    assert keeper.folder_of(6) is None


def test_only_the_first_process_draws(tmp_path, micro_sd, clip, pictures, monkeypatch):
    monkeypatch.setattr(Trainer, "is_global_zero", property(lambda self: False))
    technique = fit(
        tmp_path, TinyLoRA(str(micro_sd)), pictures, callback(clip, tmp_path), max_steps=2
    )
    assert technique.calls == []
    assert not (tmp_path / "evaluation.json").exists()


def test_what_is_missing_is_said_before_training(tmp_path, micro_sd, clip, pictures):
    missing = callback("somebody/no-such-clip", tmp_path, dino="somebody/no-such-dino")
    first, second = missing.problems()
    assert "somebody/no-such-clip" in first
    assert "somebody/no-such-dino" in second
    assert callback(clip, tmp_path).problems() == []
    for callbacks, data, message in (
        (missing, pictures, "no-such-clip is neither a folder here nor"),
        (callback(clip, tmp_path), pictures[:1], "two training pictures .* but got 1"),
    ):
        technique = TinyLoRA(str(micro_sd))
        with pytest.raises(ValueError, match=message):
            fit(tmp_path / "run", technique, data, callbacks, max_steps=2)
        assert technique.global_step == 0
    with pytest.raises(ValueError, match="FakeData has no `train_dataset`"):
        make_trainer(tmp_path, callback(clip, tmp_path)).fit(TinyLoRA(str(micro_sd)), FakeData())


def test_samples_are_compared_with_the_users_own_pictures(tmp_path, micro_sd, clip, pictures):
    data = FakeData(validate=False)
    data.train_dataset = SimpleNamespace(pictures=pictures, originals=pictures[:1])
    data.val_dataset = SimpleNamespace(pictures=[])
    with pytest.raises(ValueError, match=r"two training pictures .* but got 1"):
        make_trainer(tmp_path, callback(clip, tmp_path)).fit(TinyLoRA(str(micro_sd)), data)


def test_a_trial_run_leaves_nothing(tmp_path, micro_sd, clip, pictures):
    evaluation = callback(clip, tmp_path)
    fit(tmp_path / "run", TinyLoRA(str(micro_sd)), pictures, evaluation, fast_dev_run=True)
    assert not (tmp_path / "run").exists()


def test_all_that_is_wrong_is_said():
    with pytest.raises(ValueError, match="`prompts` to be a list") as caught:
        EvaluationCallback("a cat", style_pictures=-1, max_memorised_share=-0.5)
    assert "`style_pictures` to be 0 or more, but got -1" in str(caught.value)
    assert "`max_memorised_share` to be 0 or more, but got -0.5" in str(caught.value)
    with pytest.raises(ValueError, match="`goal` to be a metric that is measured, but got `dino`"):
        EvaluationCallback(PROMPTS, goal="dino")


def test_the_curves_are_those_of_what_will_be_measured():
    subject = EvaluationCallback(PROMPTS, goal="subject", seeds=[0], dino="a/dino")
    assert subject.metric_tags == [
        f"eval/{name}"
        for name in ("clip_score", "clip_i", "dino", "clip_mmd", "ssim", "ssim_nearest",
                     "memorised_share")
    ]  # fmt: skip
    style = EvaluationCallback(PROMPTS, class_prompts=["a pet"])
    assert {"eval/style_score", "eval/class_drift"} <= set(style.metric_tags)


def test_nothing_outside_a_strangers_run_is_copied(tmp_path):
    old, new, secret = (tmp_path / name for name in ("old", "new", "secret"))
    for folder in (old / "evaluation" / "base", secret):
        folder.mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(folder / "prompt_00_seed_0.png")
    (old / "evaluation" / "base" / "linked.png").symlink_to(secret / "prompt_00_seed_0.png")
    (old / "evaluation" / "elsewhere").symlink_to(secret)
    for pictures in ("evaluation/base", "evaluation/elsewhere", "evaluation/gone", "../secret"):
        _copy_pictures(old, new, pictures)
    copied = [path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file()]
    assert copied == ["evaluation/base/prompt_00_seed_0.png"]
