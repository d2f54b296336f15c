"""What `check` accepts `fit` starts, and the reverse, in every form that LightningCLI documents."""

from pathlib import Path

import pytest

from sdtune.cli import main
from tests.fast_part import some_fast

MODEL = "{class_path: tests.commands.toys.Toy, init_args: {rank: 2}}"
MONITOR = "--trainer.callbacks.monitor=train/loss"
FILES = {
    "one_step.yaml": "trainer: {max_steps: 1}\n",
    "model.yaml": f"{MODEL}\n",
    "data.yaml": "{class_path: tests.commands.toys.ToyData, init_args: {folder: .}}\n",
    "trainer.yaml": "{max_steps: 1, accelerator: cpu, limit_val_batches: 0}\n",
    "nested.yaml": "trainer: trainer.yaml\nmodel: model.yaml\ndata: data.yaml\n",
    "bad_nested.yaml": "model: model.yaml\ndata: dtaa.yaml\n",
    "unknown_root.yaml": "trainr: {max_steps: 1}\n",
    "appended.yaml": "trainer: {callbacks+: [{class_path: LearningRateMonitor}]}\n",
    "beside.yaml": "model: {class_path: tests.commands.toys.Toy, rank: 2}\n",
}
GOOD = [
    "",
    "--config one_step.yaml",
    "--config appended.yaml",
    "--config={trainer: {max_steps: 1}}",
    "--trainer.max_steps=1 --trainer.max_epochs=null",
    "--trainer.callbacks+=EarlyStopping " + MONITOR + " --trainer.callbacks.patience=5",
    "--trainer.callbacks={class_path: Timer, init_args: {duration: '00:01:00:00'}}",
    "--trainer.callbacks+=tests.commands.toys.Last --trainer.callbacks.every_n_steps=2",
    "--trainer.callbacks=null",
    "--trainer.logger=CSVLogger --trainer.logger.save_dir x",
    "--trainer.logger=false",
    "--trainer.profiler=simple",
    "--trainer.strategy=SingleDeviceStrategy --trainer.strategy.device=cpu",
    "--trainer.fast_dev_run=true",
    "--trainer.limit_val_batches=1 --trainer.val_check_interval=64",
    "--trainer trainer.yaml",
    "--model model.yaml",
    "--model.rank=8 --model.init_args.learning_rate=1e-3",
    "--model=tests.commands.toys.OtherToy --model.momentum=0.5",
    "--model={class_path: tests.commands.toys.Toy, init_args: {target_modules: [a, b]}}",
    "--model.target_modules=[to_q, to_v]",
    "--data.batch_size=2 --seed=7",
    "--run=mine",
]
MORE_GOOD = [
    "--trainer.callbacks+=lightning.pytorch.callbacks.EarlyStopping " + MONITOR,
    "--trainer.callbacks=EarlyStopping --trainer.callbacks.init_args.monitor=train/loss",
    "--trainer.callbacks=[{class_path: Timer}, {class_path: tests.commands.toys.Last}]",
    "--trainer.callbacks=[]",
    "--trainer.logger=lightning.pytorch.loggers.CSVLogger --trainer.logger.save_dir=x",
    "--trainer.logger CSVLogger --trainer.logger.init_args.save_dir=x",
    "--trainer.logger.class_path=CSVLogger --trainer.logger.init_args.save_dir=x",
    "--trainer.logger=[{class_path: CSVLogger, init_args: {save_dir: x}}]",
    "--trainer.logger=true",
    "--trainer.profiler.class_path=SimpleProfiler --trainer.profiler.init_args.extended=false",
    "--trainer.strategy=auto --trainer.devices=1",
    "--trainer.precision=bf16-mixed",
    "--trainer.limit_train_batches=0.5",
    "--trainer.val_check_interval=65",
    '--model.target_modules ["to_q"]',
    "--model.fail_at=null",
]
BAD = [
    "--config unknown_root.yaml",
    "--config no_such_file.yaml",
    "--config beside.yaml",
    "--trainer.max_steps=one",
    "--trainer.callbacks+=EarlyStopping --trainer.callbacks.mnitor=train/loss",
    "--trainer.callbacks.rows=1",
    "--trainer.callbacks=[{class_path: tests.commands.toys.Last, init_args: {every_n_steps: 0}}]",
    "--trainer.logger=CSVLogger",
    "--trainer.logger=CSVLogger --trainer.logger.sve_dir=x",
    "--trainer.accelerator=cuda",
    "--trainer.limit_val_batches=1 --trainer.val_check_interval=65",
    "--trainer nowhere.yaml",
    "--model.rank=null",
    "--model.target_modules=atention",
    "--model=tests.commands.toys.OtherToy --model.fail_at=2",
    "--seed=-1",
    "--resume",
    "--run=a/b",
    "--unknown=1",
]
# values that the Trainer refuses are rows of tests/conformance, which calls both commands too
MORE_BAD = [
    "--trainer.max_step=1",
    "--trainer.callbacks+=EarlyStopping",
    "--trainer.callbacks+=EarlyStoping",
    "--trainer.callbacks=[{class_path: Timer, init_args: {duratoin: 1}}]",
    "--trainer.logger=CSVLoger",
    "--trainer.gradient_clip_val=[1]",
    "--model nowhere.yaml",
    "--model.rank=[1]",
    "--data.folder=nowhere",
    "--data.init_args.batch_size={a: 1}",
]
OF_TECHNIQUES = [
    "--trainer.precision=16-true",
    "--model.lr_schedule=cosine --trainer.max_steps=-1 --trainer.max_epochs=-1",
    "--model.target_modules=[to_q] --model.text_encoder_learning_rate=1e-4",
    "--trainer.val_check_interval=100 --trainer.check_val_every_n_epoch=1",
]
MORE_OF_TECHNIQUES = [
    "--trainer.callbacks=EMAWeightAveraging --model.optimizer=adamw_schedule_free",
    "--model.target_modules=[to_q, to_x]",
]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdtune.commands.fit.write_report", lambda folder: None)


@pytest.fixture
def files(recipe: str) -> str:
    for name, text in FILES.items():
        Path(name).write_text(text, encoding="utf-8")
    return recipe


def verdicts(recipe: str, override: str) -> tuple[int, int]:
    words = split(override)
    only_nested = "nested.yaml" in override
    check = main(["check", *([] if only_nested else [recipe]), *words])
    assert not Path("runs").exists()
    start = ["--trainer.max_steps=1"] if "max_steps" not in override else []
    words = [*([] if only_nested else ["--config", recipe]), *words, *start]
    return check, main(["fit", *words])


def split(override: str) -> list[str]:
    words: list[str] = []
    for word in override.split(" "):
        if word.startswith("--") or (word and words[-1].startswith("--") and "=" not in words[-1]):
            words.append(word)
        elif word:
            words[-1] += f" {word}"
    return words


def _places(override: str) -> set[str]:
    """Name what forms set: two of one place in one call would be another form."""
    places = set()
    for word in split(override):
        if word.startswith("--"):
            parts = word.removeprefix("--").partition("=")[0].replace("+", "").split(".")
            parts = [each for each in parts if each != "init_args"]
            whole = parts[0] in ("model", "config") or parts == ["trainer"]
            places.add(parts[0] if whole else ".".join(parts[:2]))
    return places


def _together(overrides: list[str]) -> list[str]:
    """Put forms of different places into one call: one that is refused would refuse it."""
    calls: list[str] = []
    for override in overrides:
        places = _places(override)
        fits = (call for call in calls if call and override and _fit(places, _places(call)))
        if (call := next(fits, None)) is None:
            calls.append(override)
        else:
            calls[calls.index(call)] = f"{call} {override}"
    return calls


def _fit(places: set[str], others: set[str]) -> bool:
    whole = {"config", "trainer", "trainer.fast_dev_run"} & (places | others)
    return not whole and not places & others


@pytest.mark.parametrize(
    "override",
    some_fast([*_together(GOOD), "--config nested.yaml", *_together(MORE_GOOD)], _together(GOOD)),
)
def test_what_check_accepts_fit_runs(files, override):
    assert verdicts(files, override) == (0, 0)


@pytest.mark.parametrize(
    "override", some_fast([*BAD, "--config bad_nested.yaml", *MORE_BAD], BAD[::2])
)
def test_what_check_refuses_fit_does_not_start(files, override, capsys):
    assert verdicts(files, override) == (2, 2)
    assert not Path("runs").exists()
    problems = capsys.readouterr().err
    assert "Union subtypes" not in problems  # jsonargparse's own words, of its own types


@pytest.mark.parametrize(
    "override", some_fast([*OF_TECHNIQUES, *MORE_OF_TECHNIQUES], OF_TECHNIQUES[::2])
)
def test_what_a_technique_refuses_is_found_before_the_start(short_style, override):
    before = sorted(Path().rglob("*"))
    words = ["--trainer.accelerator=cpu", *split(override)]
    assert main(["check", short_style, *words]) == 2
    assert main(["fit", "--config", short_style, *words]) == 2
    assert sorted(Path().rglob("*")) == before
