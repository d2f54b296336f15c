"""kohya's keys of rates, optimizers, length, precision, samples and files."""

from __future__ import annotations

from typing import Any

from sdtune.importing.kohya_samples import sample_every, sample_prompts
from sdtune.importing.kohya_settings import KohyaSettings
from sdtune.importing.outcome import (
    Entry,
    Outcome,
    UnfitError,
    boolean,
    choice,
    idle,
    integer,
    needs,
    number,
    number_or,
    only_if,
    special,
    take,
    without,
)

__all__ = ["DEFAULT_RATE", "DEFAULT_STEPS", "TRAINING_KEYS"]

DEFAULT_RATE, DEFAULT_STEPS = 2e-6, 1600
_OWN_DECAY = 0.01  # of torch's AdamW and bitsandbytes'; the others' is 0

_OPTIMIZERS = {
    "adamw": "adamw",
    "adamw8bit": "adamw8bit",
    "pagedadamw": "adamw",
    "pagedadamw32bit": "adamw",
    "pagedadamw8bit": "adamw8bit",
    "adamwschedulefree": "adamw_schedule_free",
    "lion": "lion",
    "lion8bit": "lion8bit",
    "pagedlion8bit": "lion8bit",
    "sgdnesterov": "sgd_nesterov",
    "sgdnesterov8bit": "sgd_nesterov",
    "adafactor": "adafactor",
    "prodigy": "prodigy",
}
_SCHEDULES = {
    "constant": ("constant", ""),
    "constant_with_warmup": ("constant", ""),
    "linear": ("linear", ""),
    "cosine": ("cosine", ""),
    "cosine_with_restarts": ("cosine", ""),
    "polynomial": ("linear", ""),
    "adafactor": ("constant", ""),
    "cosine_with_min_lr": ("cosine", "`cosine` is taken, which falls to 0"),
    "warmup_stable_decay": ("constant", "`constant` is taken, which does not fall at the end"),
    "inverse_sqrt": ("constant", "`constant` is taken, which does not fall"),
    "piecewise_constant": ("constant", "`constant` is taken, which does not fall"),
}


def _optimizer(settings: KohyaSettings) -> str:
    for flag, name in (("use_8bit_adam", "adamw8bit"), ("use_lion_optimizer", "lion")):
        if settings.on(flag):
            return name
    name = str(choice(_OPTIMIZERS)(settings.get("optimizer_type") or "adamw"))
    if name == "adafactor" and boolean(settings.get("optimizer_args.relative_step", True)):
        return "adafactor_relative_step"
    return name


def _optimizer_type(value: Any, settings: KohyaSettings) -> Outcome:
    name = _optimizer(settings)
    decay = _OWN_DECAY if name in ("adamw", "adamw8bit") else 0.0
    ours: dict[str, Any] = {"model.optimizer": name}
    if "optimizer_args.weight_decay" not in settings.values:
        ours["model.weight_decay"] = decay
    note = "without paging" if str(value).lower().startswith("paged") else ""
    if name == "adafactor":
        note = "without its scale by the size of each weight"
    if str(value).lower() == "sgdnesterov8bit":
        note = "in 32 bits"
    return Outcome("taken over", ours, note)


def _older_flag(value: Any, settings: KohyaSettings) -> Outcome:
    if boolean(value):
        return _optimizer_type("", settings)
    return Outcome("meaningless here", note="off, as here")


def _sets_own_rates(settings: KohyaSettings) -> bool:
    try:
        return _optimizer(settings) in ("adafactor_relative_step", "adamw_schedule_free")
    except UnfitError:  # said of the optimizer's own key
        return False


def _scheduler(value: Any, settings: KohyaSettings) -> Outcome:
    name, meaning = choice(_SCHEDULES)(value)
    if _sets_own_rates(settings):
        return Outcome("meaningless here", note="the optimizer sets its own rates, there as well")
    cycles = number_or(1, settings.get("lr_scheduler_num_cycles"))
    if value == "cosine_with_restarts" and cycles > 1:
        meaning = "`cosine` is taken, which falls once, to the end"
    if value == "polynomial" and number_or(1, settings.get("lr_scheduler_power")) != 1:
        meaning = "`linear` is taken, in the place of another power"
    fate = "no equal" if meaning else "taken over"
    return Outcome(fate, {"model.lr_schedule": name}, meaning)  # type: ignore[arg-type]


def _warmup(value: Any, settings: KohyaSettings) -> Outcome:
    steps = number(least=0)(value)
    schedule = settings.get("lr_scheduler", "constant")
    if schedule == "constant" and steps:
        return Outcome("meaningless here", note="`lr_scheduler` `constant` has none, there as well")
    if _sets_own_rates(settings) and steps:
        return Outcome("meaningless here", note="the optimizer sets its own rates, there as well")
    if 0 < steps < 1:
        if settings.get("max_train_epochs"):
            raise UnfitError(
                "a number of steps beside `max_train_epochs`, whose length is not known"
            )
        steps *= number_or(DEFAULT_STEPS, settings.get("max_train_steps"))
    return Outcome("taken over", {"model.warmup_steps": int(steps)})


def _of_schedules(names: str, entry: Entry) -> Entry:
    """Say that only some schedules read a key; parted by spaces."""
    reason = f"only {' and '.join(f'`{each}`' for each in names.split())} read it, there as well"
    return only_if(lambda settings: settings.get("lr_scheduler") in names.split(), reason, entry)


def _cycles(value: Any, settings: KohyaSettings) -> Outcome:
    if settings.get("lr_scheduler") == "cosine_with_restarts" and number(least=0)(value) > 1:
        return Outcome("no equal", note="the rate falls once, to the end")
    return Outcome("meaningless here", note="the schedule has one fall")


def _power(value: Any, settings: KohyaSettings) -> Outcome:
    if settings.get("lr_scheduler") == "polynomial" and number(above=0)(value) != 1:
        return Outcome("no equal", note="the rate falls in a line")
    return Outcome("meaningless here", note="the schedule has no power")


def _rate(value: Any, settings: KohyaSettings) -> Outcome:
    rate = number(above=0)(value)
    if not settings.is_adapter:
        return Outcome("taken over", {"model.learning_rate": rate})
    ours = {}
    if settings.get("unet_lr") is None:
        ours["model.learning_rate"] = rate
    if settings.get("text_encoder_lr") is None and not _unet_alone(settings):
        ours["model.text_encoder_learning_rate"] = rate
    if not ours:
        return Outcome("meaningless here", note="rates of both parts are given beside it")
    return Outcome("taken over", ours)


def _unet_alone(settings: KohyaSettings) -> bool:
    return settings.on("network_train_unet_only")


def _unet_rate(value: Any, settings: KohyaSettings) -> Outcome:
    if not settings.is_adapter:
        return Outcome("meaningless here", note="`learning_rate` is that of the whole UNet")
    return Outcome("taken over", {"model.learning_rate": number(above=0)(value)})


def _text_rate(value: Any, settings: KohyaSettings) -> Outcome:
    if not settings.is_adapter:
        return Outcome("meaningless here", note="full fine-tuning trains the UNet alone")
    values = value if isinstance(value, list) else [value]
    rates = {number(least=0)(each) for each in values}
    if _unet_alone(settings):
        return Outcome("meaningless here", note="`network_train_unet_only` goes before it")
    if len(rates) > 1:
        raise UnfitError("one rate for all text encoders")
    return Outcome("taken over", {"model.text_encoder_learning_rate": rates.pop() or None})


def _max_steps(value: Any, settings: KohyaSettings) -> Outcome:
    steps = integer(1)(value)
    if settings.get("max_train_epochs"):
        return Outcome("meaningless here", note="`max_train_epochs` goes before it, there as well")
    return Outcome("taken over", {"trainer.max_steps": steps})


def _norm(value: Any, _: KohyaSettings) -> Outcome:
    norm = number(least=0)(value)
    return Outcome("taken over", {"trainer.gradient_clip_val": norm or None})


def _save_epochs(value: Any, settings: KohyaSettings) -> Outcome:
    every = integer(0)(value)
    if settings.get("save_every_n_steps"):
        return Outcome("no equal", note="files are written by `save_every_n_steps` alone")
    if every in (0, 1):
        return Outcome("taken over", note="after each epoch, as `sdtune.AdapterCheckpoint` does")
    return Outcome("no equal", note="files are written after each epoch, which is more of them")


def _save_last_steps(value: Any, settings: KohyaSettings) -> Outcome:
    """Keep the files of the last steps: at step 50, with 10 and 30, those of 20, 30, 40 and 50."""
    steps = integer(1)(value)
    every = int(number_or(0, settings.get("save_every_n_steps")))
    if every < 1:
        return Outcome("meaningless here", note="without `save_every_n_steps`")
    # the end, which has a file of its own here, is one of those steps, or comes after the last one
    end = number_or(DEFAULT_STEPS, settings.get("max_train_steps"))
    is_one = not settings.get("max_train_epochs") and end % every == 0
    kept = steps // every + (1 if is_one else 2)
    return Outcome("taken over", {"AdapterCheckpoint.keep": kept}, _KEPT)


def _save_last_epochs(value: Any, settings: KohyaSettings) -> Outcome:
    """Keep the last files, of which the last but one is that many epochs older, and so on."""
    files = integer(1)(value)
    if settings.get("save_every_n_steps"):
        return Outcome("meaningless here", note="beside `save_every_n_steps` epochs have no files")
    every = int(number_or(0, settings.get("save_every_n_epochs")))
    parts = number_or(0, settings.get("save_n_epoch_ratio"))
    if parts > 0:
        epochs = number_or(0, settings.get("max_train_epochs"))
        if epochs < 1:
            note = "all files stay: the number of epochs, and so of those between two, is not known"
            return Outcome("no equal", note=note)
        every = max(1, int(epochs // parts))
    if every < 1:
        return Outcome("meaningless here", note="without `save_every_n_epochs`")
    # files are written after each epoch, and the last epoch's is not among those that count there
    return Outcome("taken over", {"AdapterCheckpoint.keep": files * every + 1}, _KEPT)


def _workers(value: Any, _: KohyaSettings) -> Outcome:
    return Outcome("taken over", {"data.num_workers": integer(0)(value)})


_KEEP = "`keep` of `sdtune.AdapterCheckpoint`, as many files as hold all that stay there"
_KEPT = "all files that would stay there are among these"
_OPTIMIZER_OWN = "the optimizer's own default holds"
_STATE = idle("a checkpoint to go on from is always written; `--resume`")

TRAINING_KEYS: dict[str, Entry] = {
    "learning_rate": special(
        "`model.learning_rate` and `model.text_encoder_learning_rate`; 2e-6 if not given, as there",
        _rate,
    ),
    "unet_lr": special("`model.learning_rate`", _unet_rate),
    "text_encoder_lr": special("`model.text_encoder_learning_rate`; 0 is null", _text_rate),
    "optimizer_type": special(
        "`model.optimizer`: AdamW, AdamW8bit, Lion, Lion8bit, AdaFactor, Prodigy, "
        "AdamWScheduleFree, SGDNesterov; D-Adaptation and others are refused",
        _optimizer_type,
    ),
    "use_8bit_adam": special("`model.optimizer` `adamw8bit`", _older_flag),
    "use_lion_optimizer": special("`model.optimizer` `lion`", _older_flag),
    "optimizer_args.weight_decay": take("model.weight_decay", number(least=0)),
    "optimizer_args.relative_step": special(
        "`model.optimizer` `adafactor_relative_step`, or without `adafactor`",
        lambda value, _: Outcome("taken over", note=f"{boolean(value)}: by `model.optimizer`"),
    ),
    "optimizer_args.scale_parameter": without("steps are not scaled by the size of each weight"),
    "optimizer_args.warmup_init": without("Adafactor does not begin at a lower rate"),
    "optimizer_args.betas": without(_OPTIMIZER_OWN),
    "optimizer_args.eps": without(_OPTIMIZER_OWN),
    "optimizer_args.momentum": without(_OPTIMIZER_OWN, off=(0.9,)),
    "optimizer_args.decouple": without("the weight decay is always decoupled", off=(True,)),
    "optimizer_args.d_coef": without(_OPTIMIZER_OWN, off=(1, 1.0)),
    "optimizer_args.use_bias_correction": without(_OPTIMIZER_OWN),
    "optimizer_args.safeguard_warmup": without(_OPTIMIZER_OWN),
    "lr_scheduler": special(
        "`model.lr_schedule`: `constant`, `linear`, `cosine`; the nearest of others", _scheduler
    ),
    "lr_warmup_steps": special(
        "`model.warmup_steps`; below 1 a share of the steps; beside `constant` none, as there",
        _warmup,
    ),
    "lr_scheduler_num_cycles": special("none above 1: the rate falls once", _cycles),
    "lr_scheduler_power": special("none other than 1: the rate falls in a line", _power),
    "lr_scheduler_type": without("a schedule of one's own is not imported"),
    "lr_decay_steps": _of_schedules("warmup_stable_decay", without("the rate falls up to the end")),
    "lr_scheduler_timescale": _of_schedules("inverse_sqrt", without("there is no such schedule")),
    "lr_scheduler_min_lr_ratio": _of_schedules(
        "cosine_with_min_lr warmup_stable_decay", without("the rate falls to 0")
    ),
    "max_train_steps": special("`trainer.max_steps`; 1600 if not given, as there", _max_steps),
    "max_train_epochs": take("trainer.max_epochs", integer(1)),
    "gradient_accumulation_steps": take("trainer.accumulate_grad_batches", integer(1)),
    "gradient_checkpointing": take("model.gradient_checkpointing", boolean),
    "torch_compile": take("model.compile", boolean),
    "max_grad_norm": special("`trainer.gradient_clip_val`; 1 if not given, 0 is null", _norm),
    "mixed_precision": take(
        "trainer.precision",
        choice({"no": "32-true", "fp16": "16-mixed", "bf16": "bf16-mixed"}),
    ),
    "full_fp16": without("what learns is in 32 bits: more memory, nothing lost"),
    "full_bf16": without("what learns is in 32 bits: more memory, nothing lost"),
    "seed": take("seed", integer(0, 2**32 - 1)),
    "max_data_loader_n_workers": special("`data.num_workers`", _workers),
    "sample_prompts": special("`prompts` and more of `sdtune.SampleGrid`", sample_prompts),
    "sample_every_n_steps": sample_every("steps"),
    "sample_every_n_epochs": sample_every("epochs"),
    "sample_at_first": idle("the untuned base is always the first row"),
    "sample_sampler": needs(
        "sample_prompts", without("pictures are drawn by DPM-Solver++", off=())
    ),
    "save_every_n_steps": take("AdapterCheckpoint.every_n_steps", integer(1)),
    "save_every_n_epochs": special(
        "`sdtune.AdapterCheckpoint`, after each epoch; every other: none", _save_epochs
    ),
    "save_last_n_steps": special(_KEEP, _save_last_steps),
    "save_last_n_epochs": special(_KEEP, _save_last_epochs),
    "save_precision": take(
        "AdapterCheckpoint.dtype",
        choice({"float": "float32", "fp16": "float16", "bf16": "bfloat16"}),
    ),
    "save_n_epoch_ratio": without("files are written after each epoch"),
    "save_state": _STATE,
    "save_state_on_train_end": _STATE,
    "save_last_n_steps_state": _STATE,
    "save_last_n_epochs_state": _STATE,
    "resume": without(
        "another trainer's state cannot be gone on from; its file is `model.adapter`"
    ),
    "initial_epoch": without("training begins at its first epoch"),
    "initial_step": without("training begins at its first step"),
    "skip_until_initial_step": without("training begins at its first step"),
}
"""Key -> what becomes of it."""
