"""kohya's keys of the model, the network and the loss, and what becomes of each."""

from __future__ import annotations

from typing import Any

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
    share,
    special,
    take,
    text,
    without,
)

__all__ = ["MODEL_KEYS"]

_PRESETS = {
    "full": "all",
    "attn-mlp": "attention+feed_forward",
    "attn-only": "attention",
}
_ALGORITHMS = {"lora": "lora", "locon": "lora", "loha": "loha", "lokr": "lokr"}
_MODULES = {
    "networks.lora": "lora",
    "networks.loha": "loha",
    "networks.lokr": "lokr",
    "lycoris.kohya": "lora",
}
_WHOLE = Outcome("meaningless here", note="without `network_module` the whole UNet is trained")


def _adapter_type(settings: KohyaSettings) -> str:
    """Give the type that the recipe has; `lora` beside names that their own keys refuse."""
    module = str(settings.get("network_module")).lower()
    algorithm = str(settings.get("network_args.algo", "lora")).lower()
    if module == "lycoris.kohya":
        return _ALGORITHMS.get(algorithm, "lora")
    return _MODULES.get(module, "lora")


def _is_lycoris(settings: KohyaSettings) -> bool:
    return bool(settings.get("network_module") == "lycoris.kohya")


def _network_module(value: Any, settings: KohyaSettings) -> Outcome:
    if not isinstance(value, str) or value not in _MODULES:
        raise UnfitError("one of " + ", ".join(f"`{each}`" for each in _MODULES))
    ours: dict[str, Any] = {}
    if "network_args.algo" not in settings.values or value != "lycoris.kohya":
        ours["model.adapter_type"] = _MODULES[value]
    if "network_args.preset" not in settings.values or value != "lycoris.kohya":
        size = number_or(0, settings.get("network_args.conv_dim"))
        convolutions = value == "lycoris.kohya" or size > 0
        ours["model.target_modules"] = "all" if convolutions else "attention+feed_forward"
    return Outcome("taken over", ours)


def _algo(value: Any, settings: KohyaSettings) -> Outcome:
    if not _is_lycoris(settings):
        return Outcome("meaningless here", note="`network_module` has no algorithms")
    return Outcome("taken over", {"model.adapter_type": choice(_ALGORITHMS)(value)})


def _rank(value: Any, settings: KohyaSettings) -> Outcome:
    if not settings.is_adapter:
        return _WHOLE
    return Outcome("taken over", {"model.rank": integer(1)(value)})


def _alpha(value: Any, settings: KohyaSettings) -> Outcome:
    if not settings.is_adapter:
        return _WHOLE
    alpha = number(least=0)(value)
    if alpha == 0:
        rank = number_or(4, settings.get("network_dim"))
        return Outcome("taken over", {"model.alpha": rank}, "0 is the rank there")
    return Outcome("taken over", {"model.alpha": alpha})


def _conv_dim(value: Any, settings: KohyaSettings) -> Outcome:
    if number(least=0)(value) == 0 and settings.get("network_module") == "networks.lora":
        return Outcome("taken over", note="0: not those of residual blocks")
    return _alike(value, "network_dim", number_or(4, settings.get("network_dim")))


def _conv_alpha(value: Any, settings: KohyaSettings) -> Outcome:
    found, other = number(least=0)(value), number_or(1, settings.get("network_alpha"))
    rank = number_or(4, settings.get("network_dim"))
    if found == 0:  # the rank there, or in LyCORIS the other alpha
        own_rank = number_or(0, settings.get("network_args.conv_dim"))
        found = other if _is_lycoris(settings) else own_rank
    return _alike(found or rank, "network_alpha", other or rank)


def _alike(value: Any, name: str, other: float) -> Outcome:
    if number(least=0)(value) == other:
        return Outcome("taken over", note=f"convolutions have that of `{name}`, too")
    return Outcome("no equal", note=f"convolutions get that of `{name}`, {other:g}")


def _dropout(value: Any, settings: KohyaSettings) -> Outcome:
    if not settings.is_adapter:
        return _WHOLE
    if _is_lycoris(settings) and "network_args.dropout" in settings.values:
        note = "`dropout` of `network_args` goes before it, there as well"
        return Outcome("meaningless here", note=note)
    return _share_of_dropout(value, settings)


def _own_dropout(value: Any, settings: KohyaSettings) -> Outcome:
    if not _is_lycoris(settings):
        note = "only LyCORIS reads it; other networks read `network_dropout`"
        return Outcome("meaningless here", note=note)
    return _share_of_dropout(value, settings)


def _share_of_dropout(value: Any, settings: KohyaSettings) -> Outcome:
    found = share(0 if value is None else value)
    if found == 1:
        raise UnfitError("a number in [0, 1)")
    if found and _adapter_type(settings) != "lora":
        return Outcome("no equal", note="LoHa and LoKr have no dropout here")
    return Outcome("taken over", {"model.dropout": found})


def _use_dora(value: Any, settings: KohyaSettings) -> Outcome:
    if "network_args.dora_wd" in settings.values:
        return Outcome("meaningless here", note="`dora_wd` goes before it")
    return _dora(value, settings)


def _dora(value: Any, settings: KohyaSettings) -> Outcome:
    if boolean(value) and _adapter_type(settings) != "lora":
        return Outcome("no equal", note="LoHa and LoKr are not decomposed here")
    return Outcome("taken over", {"model.use_dora": boolean(value)})


def _factor(value: Any, settings: KohyaSettings) -> Outcome:
    if value == -1:
        return Outcome("taken over", note="-1, as here")
    return Outcome("no equal", note="LoKr's matrices are parted as evenly as they can be")


def _prior(value: Any, settings: KohyaSettings) -> Outcome:
    weight = number(least=0)(value)
    if not settings.has_class_pictures:
        return Outcome("meaningless here", note="there are no regularisation pictures")
    return Outcome("taken over", {"model.prior_loss_weight": weight})


def _gamma(value: Any, _: KohyaSettings) -> Outcome:
    gamma = number(least=0)(value)
    return Outcome("taken over", {"model.min_snr_gamma": gamma or None})


def _loss_type(value: Any, _: KohyaSettings) -> Outcome:
    if value == "l2":
        return Outcome("taken over", note="the squared error, as here")
    return Outcome("no equal", note="the squared error is taken: outliers weigh more")


def _masked(value: Any, _: KohyaSettings) -> Outcome:
    ours = {"data.unmasked_weight": 0.0} if boolean(value) else {}
    note = "masks lie beside the pictures, `cat_mask.png`, or are their transparency"
    return Outcome("taken over", ours, note if ours else "off")


def _text_encoder_only(value: Any, _: KohyaSettings) -> Outcome:
    if boolean(value):
        raise UnfitError("false, for here the UNet always learns")
    return Outcome("meaningless here", note="off, as here")


def _train_unet_only(value: Any, settings: KohyaSettings) -> Outcome:
    if not settings.is_adapter:
        return _WHOLE
    ours = {"model.text_encoder_learning_rate": None} if boolean(value) else {}
    return Outcome("taken over", ours, "" if ours else "off")


def _fp8_base(value: Any, settings: KohyaSettings) -> Outcome:
    if not boolean(value):
        return Outcome("meaningless here", note="off, as here")
    if not settings.is_adapter:
        return _WHOLE
    note = "8 bits a weight in linear layers, with a scale for each row, and not float8"
    return Outcome("taken over", {"model.quantization": "int8"}, note)


def _of_network(entry: Entry) -> Entry:
    return only_if(lambda settings: settings.is_adapter, _WHOLE.note, entry)


def _of_lycoris(entry: Entry) -> Entry:
    return only_if(_is_lycoris, "only LyCORIS reads it", entry)


def _of_lokr(entry: Entry) -> Entry:
    return only_if(lambda each: _adapter_type(each) == "lokr", "only LoKr reads it", entry)


def _of_the_whole(entry: Entry) -> Entry:
    return only_if(
        lambda settings: not settings.is_adapter, "beside `network_module` nothing reads it", entry
    )


def _token_string(value: Any, _: KohyaSettings) -> Outcome:
    raise UnfitError(
        "left out: Textual Inversion's files are not read (`sdtune recipes copy "
        "textual_inversion FOLDER` gives a recipe to fill in)"
    )


_BLOCK_RATES = " ".join(f"network_args.{each}_lr_weight" for each in ("down", "mid", "up"))
_BLOCKS_BY = f"network_args.block_dims {_BLOCK_RATES}"
_BLOCKS = without("all blocks of the UNet have one rank, and learn at one rate")
_NOISE = "noise is plain Gaussian, or with `noise_offset`"
_FP8_BASE = special(
    "`model.quantization` `int8`: linear layers alone, with a scale for each row", _fp8_base
)
_STEPS = without("timesteps are drawn from the whole schedule", off=(False, 0, 1000, ""))
_HUBER = only_if(
    lambda settings: settings.get("loss_type") in ("huber", "smooth_l1"),
    "only `loss_type` `huber` and `smooth_l1` read it, there as well",
    without("the loss is the squared error"),
)
_UNET_ALONE = "full fine-tuning trains the UNet alone"
_WEIGHTED = "the loss is weighted by `min_snr_gamma` or not at all"

_KEYS: dict[str, Entry] = {
    "pretrained_model_name_or_path": take("model.base", text),
    "v2": idle("found out by looking at the base"),
    "v_parameterization": idle("found out by looking at the base"),
    "sdxl": idle("found out by looking at the base"),
    "zero_terminal_snr": without(
        "the noise schedule is the base's own, rescaled only if its file says so"
    ),
    "fp8_base": _FP8_BASE,
    "fp8_base_unet": _FP8_BASE,
    "vae": without("the base's own VAE encodes the pictures"),
    "network_module": special(
        "`model.adapter_type`, `model.target_modules`; LyCORIS reaches the convolutions. Without "
        "it `model.full_finetune`",
        _network_module,
    ),
    "network_dim": special("`model.rank`; 4 if not given, as there", _rank),
    "network_alpha": special("`model.alpha`; 1 if not given, as there", _alpha),
    "network_dropout": special("`model.dropout`; LoHa and LoKr: none", _dropout),
    "network_weights": _of_network(take("model.adapter", text)),
    "dim_from_weights": idle("`model.adapter` always has its own rank"),
    "base_weights": _of_network(
        without("nothing is merged into the base before; `sdtune merge` can")
    ),
    "base_weights_multiplier": needs(
        "base_weights", without("nothing is merged into the base before")
    ),
    "network_train_unet_only": special("`model.text_encoder_learning_rate` null", _train_unet_only),
    "network_train_text_encoder_only": special("refused if true", _text_encoder_only),
    "network_args.algo": special("`model.adapter_type`: `lora`, `loha`, `lokr`", _algo),
    "network_args.preset": _of_lycoris(take("model.target_modules", choice(_PRESETS))),
    "network_args.conv_dim": special(
        "`model.target_modules` `all`, with the rank of all", _conv_dim
    ),
    "network_args.conv_alpha": only_if(
        lambda each: _is_lycoris(each) or number_or(0, each.get("network_args.conv_dim")) > 0,
        "without `conv_dim` no convolution learns, there as well",
        special(
            "`model.target_modules` `all`, with the alpha of all; 1 if not given, as there",
            _conv_alpha,
        ),
    ),
    "network_args.dora_wd": _of_lycoris(special("`model.use_dora`", _dora)),
    "network_args.use_dora": _of_lycoris(special("`model.use_dora`", _use_dora)),
    "network_args.dropout": special("`model.dropout`, of LyCORIS alone", _own_dropout),
    "network_args.factor": _of_lokr(special("-1; others: none", _factor)),
    "network_args.rank_dropout": without("no ranks are left out"),
    "network_args.module_dropout": without("no modules are left out"),
    "network_args.use_tucker": without("convolutions are not decomposed by Tucker"),
    "network_args.use_cp": without("convolutions are not decomposed by Tucker"),
    "network_args.use_scalar": _of_lycoris(without("updates have no scalar that is learned")),
    "network_args.decompose_both": _of_lokr(without("LoKr's smaller matrix is not decomposed")),
    "network_args.train_norm": _of_lycoris(without("norms are not trained")),
    "network_args.rs_lora": _of_lycoris(
        without("the scale is alpha / rank, not by the root of the rank")
    ),
    "network_args.loraplus_lr_ratio": without("both matrices learn at one rate"),
    "network_args.loraplus_unet_lr_ratio": without("both matrices learn at one rate"),
    "network_args.loraplus_text_encoder_lr_ratio": without("both matrices learn at one rate"),
    "network_args.block_dims": _BLOCKS,
    "network_args.block_alphas": needs(_BLOCKS_BY, _BLOCKS),
    "network_args.conv_block_dims": needs(_BLOCKS_BY, _BLOCKS),
    "network_args.conv_block_alphas": needs(_BLOCKS_BY, _BLOCKS),
    "network_args.down_lr_weight": _BLOCKS,
    "network_args.mid_lr_weight": _BLOCKS,
    "network_args.up_lr_weight": _BLOCKS,
    "network_args.block_lr_zero_threshold": needs(_BLOCK_RATES, _BLOCKS),
    "scale_weight_norms": _of_network(without("weights are not scaled down as they grow")),
    "prior_loss_weight": special("`model.prior_loss_weight`", _prior),
    "noise_offset": take("model.noise_offset", number(least=0)),
    "min_snr_gamma": special("`model.min_snr_gamma`; 0 is null", _gamma),
    "masked_loss": special("`data.unmasked_weight` 0", _masked),
    "alpha_mask": special("`data.unmasked_weight` 0", _masked),
    "clip_skip": take("model.clip_skip", integer(1)),
    "max_token_length": take("model.max_prompt_chunks", choice({"75": 1, "150": 2, "225": 3})),
    "loss_type": special("the squared error, `l2`; others: none", _loss_type),
    "huber_c": _HUBER,
    "huber_schedule": _HUBER,
    "huber_scale": _HUBER,
    "ip_noise_gamma": without("the input is not perturbed"),
    "ip_noise_gamma_random_strength": needs(
        "ip_noise_gamma", without("the input is not perturbed")
    ),
    "adaptive_noise_scale": needs("noise_offset", without(_NOISE)),
    "noise_offset_random_strength": needs("noise_offset", without(_NOISE)),
    "multires_noise_iterations": without(_NOISE),
    "multires_noise_discount": needs(
        "multires_noise_iterations", without(_NOISE, off=(False, 0, 0.3, ""))
    ),
    "debiased_estimation_loss": without(_WEIGHTED),
    "scale_v_pred_loss_like_noise_pred": without(_WEIGHTED),
    "v_pred_like_loss": without(_WEIGHTED),
    "weighted_captions": without("`(cat:1.2)` in a caption is read as it stands"),
    "min_timestep": _STEPS,
    "max_timestep": _STEPS,
    "train_text_encoder": _of_the_whole(without(_UNET_ALONE)),
    "stop_text_encoder_training": _of_the_whole(without(_UNET_ALONE, off=(False, -1))),
    "learning_rate_te": _of_the_whole(without(_UNET_ALONE)),
    "learning_rate_te1": _of_the_whole(without(_UNET_ALONE)),
    "learning_rate_te2": _of_the_whole(without(_UNET_ALONE)),
    "block_lr": _of_the_whole(without("all blocks of the UNet learn at one rate")),
    "token_string": special("refused: Textual Inversion's files are not read", _token_string),
}

MODEL_KEYS: dict[str, Entry] = {
    key: _of_network(entry) if key.startswith("network_args.") else entry
    for key, entry in _KEYS.items()
}
"""Key -> what becomes of it."""
