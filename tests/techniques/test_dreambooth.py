"""DreamBoothModule: two kinds of pictures in one pass, and what learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from sdtune.adapters.lora import lora_parameters
from sdtune.data.subject import SubjectDataModule
from sdtune.functional import prior_preservation_loss
from sdtune.models import load
from sdtune.techniques.dreambooth import DreamBoothModule
from sdtune.techniques.prior_preservation import PriorPreservation
from sdtune.techniques.training_draws import TrainingDraws
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer

PRIOR = PriorPreservation(1.0, 1, 0.0)


class Curves(Callback):
    """Writes down what is logged at every step."""

    def __init__(self) -> None:
        self.points: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        self.points.append({name: float(v) for name, v in trainer.logged_metrics.items()})


@pytest.fixture
def make_data(tmp_path: Path) -> Any:
    folder = make_picture_folder(tmp_path / "discs", count=3)
    defaults = {
        "instance_prompt": "an erica disc",
        "class_prompt": "a disc",
        "class_count": 2,
        "resolution": 64,
        "cache_dir": tmp_path / "cache",
    }
    return lambda **changes: SubjectDataModule(folder, **{**defaults, **changes})


def _batch() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    moments = torch.randn(4, 8, 8, 8, generator=generator)
    return {
        "moments": moments[:2],
        "caption": ["an erica disc"] * 2,
        "index": [4, 0],
        "class_moments": moments[2:],
        "class_caption": ["a disc"] * 2,
        "class_index": [1, 1],
    }


def _module(base: Path, **arguments: Any) -> DreamBoothModule:
    defaults = {"rank": 2, "class_inference_steps": 1}
    return DreamBoothModule(str(base), **{**defaults, **arguments})


def _count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def test_one_pass_gives_the_losses_of_two(micro_sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = _module(micro_sd, prior_loss_weight=0.5)
    module.load_base()
    logged: dict[str, Any] = {}
    monkeypatch.setattr(module, "log", lambda name, value, **_: logged.update({name: value}))
    passes = []
    module.model.unet.register_forward_hook(lambda *_: passes.append(1))
    batch, joint = _batch(), PRIOR.joined(_batch())
    with torch.no_grad():
        loss = module.training_step(batch, 0)["loss"]
        assert len(passes) == 1
        halves = [
            module.training_losses({name: each[half] for name, each in joint.items()}, number=0)[0]
            for half in (slice(0, 2), slice(2, 4))
        ]
    torch.testing.assert_close(loss, prior_preservation_loss(*halves, 0.5))
    torch.testing.assert_close(logged["train/loss"], loss)
    torch.testing.assert_close(logged["train/instance_loss"], halves[0].mean())
    torch.testing.assert_close(logged["train/class_loss"], halves[1].mean())


def test_class_samples_have_draws_of_their_own(micro_sd: Path) -> None:
    joint = PRIOR.joined(_batch())
    assert joint["index"] == [4, 0, -5, -1]
    module = _module(micro_sd)
    noise = module._noise(torch.zeros(4, 4, 8, 8), TrainingDraws(42, joint["index"], None, 0))
    assert len({float(each.sum()) for each in noise}) == 4


@pytest.mark.slow
def test_cached_and_fresh_latents_train_the_same(micro_sd: Path, make_data: Any) -> None:
    states = []
    for cache_latents in (True, False):
        # Adam would make a sign, and so a whole step, of what rounding leaves of a small gradient
        module = _module(micro_sd, optimizer="sgd_nesterov", learning_rate=0.1)
        curves = Curves()
        trainer = quiet_trainer(max_steps=3, callbacks=[curves])
        trainer.fit(module, make_data(cache_latents=cache_latents))
        assert len(curves.points) == 3
        for point in curves.points:
            total = point["train/instance_loss"] + point["train/class_loss"]
            assert point["train/loss"] == pytest.approx(total, rel=1e-6)
        states.append(module.state_dict())
    assert max(value.abs().max() for name, value in states[0].items() if "lora_B" in name) > 5e-4
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], rtol=1e-2, atol=2e-5)


@pytest.mark.slow
def test_class_pictures_are_of_the_untuned_base(micro_sd: Path, make_data: Any) -> None:
    def drawn(folder: Path) -> list[bytes]:
        return [path.read_bytes() for path in sorted(folder.rglob("class_pictures/*/*.png"))]

    fresh, tuned = (make_data(cache_dir=make_data().cache_dir / name) for name in "ab")
    for full_finetune in (False, True):
        module = _module(micro_sd, full_finetune=full_finetune)
        trainer = quiet_trainer()
        trainer.fit(module, fresh)
        quiet_trainer().fit(module, tuned)  # after a step of training, into another folder
        assert len(drawn(fresh.cache_dir)) == 2
        assert drawn(fresh.cache_dir) == drawn(tuned.cache_dir)
        for path in tuned.cache_dir.rglob("class_pictures/*/*.png"):
            path.unlink()


def test_without_prior_loss_no_class_pictures_are_made(micro_sd: Path, make_data: Any) -> None:
    data, curves = make_data(), Curves()
    quiet_trainer(callbacks=[curves]).fit(_module(micro_sd, prior_loss_weight=0.0), data)
    assert not list(data.cache_dir.rglob("class_pictures"))
    assert "train/class_loss" not in curves.points[0]


def test_prior_loss_without_class_pictures_is_refused_before_the_base_loads(
    micro_sd: Path, make_data: Any
) -> None:
    module = _module(micro_sd)
    with pytest.raises(ValueError, match=r"Expected `data.class_prompt` or `data.class_dir`"):
        quiet_trainer().fit(module, make_data(class_prompt=None))
    assert not hasattr(module, "model")


def test_unet_and_text_encoder_have_ranks_and_alphas_of_their_own(micro_sd: Path) -> None:
    module = _module(
        micro_sd,
        rank=3,
        alpha=27,
        text_encoder_rank=2,
        text_encoder_alpha=17,
        text_encoder_learning_rate=1e-5,
        target_modules=["to_q", "to_v", "q_proj", "v_proj"],
    )
    module.load_base()
    configs = module.adapter().adapters[0].configs
    assert (configs["unet"].r, configs["unet"].lora_alpha) == (3, 27)
    assert (configs["text_encoder"].r, configs["text_encoder"].lora_alpha) == (2, 17)
    base = load(micro_sd)
    expected = 0
    for part, ends, rank in (
        (base.unet, ("to_q", "to_v"), 3),
        (base.text_encoders, ("q_proj", "v_proj"), 2),
    ):
        for name, layer in part.named_modules():
            if name.endswith(ends):
                expected += rank * (layer.in_features + layer.out_features)
    assert _count(module) == expected > 0


def test_full_finetuning_trains_the_unet_and_nothing_else(micro_sd: Path) -> None:
    module = _module(micro_sd, full_finetune=True)
    module.load_base(torch.bfloat16)
    unet = module.model.unet
    assert unet.dtype == torch.float32
    assert _count(module) == sum(p.numel() for p in unet.parameters())
    assert set(module.state_dict()) == {f"model.unet.{name}" for name in unet.state_dict()}


def test_a_fully_tuned_model_still_draws_with_its_base(micro_sd: Path) -> None:
    module = _module(micro_sd, full_finetune=True)
    arguments: Any = (["a disc"], [1])
    base = module.generate(*arguments, num_inference_steps=1)
    with torch.no_grad():
        module.model.unet.conv_out.bias += 1
    unet = module.model.unet
    tuned = module.generate(*arguments, num_inference_steps=1)
    again = module.generate(*arguments, num_inference_steps=1, use_adapter=False)
    assert module.model.unet is unet
    assert not torch.equal(tuned, base)
    assert torch.equal(again, base)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prior_loss_weight": -1.0}, "`prior_loss_weight` to be 0 or more, but got -1.0"),
        ({"class_inference_steps": 0}, "`class_inference_steps` to be a positive integer"),
        ({"class_guidance_scale": -1.0}, "`class_guidance_scale` to be 0 or more"),
        ({"text_encoder_rank": 0}, "`text_encoder_rank` to be a positive integer, but got 0"),
        (
            {"full_finetune": True, "text_encoder_learning_rate": 1e-5},
            "`text_encoder_learning_rate` to be null with `full_finetune`",
        ),
    ],
)
def test_bad_arguments_are_refused(arguments: dict, message: str, micro_sd: Path) -> None:
    with pytest.raises(ValueError, match=message):
        _module(micro_sd, **arguments)


@pytest.mark.parametrize(("dropout", "count"), [(0.0, 2), (0.1, 4)])
def test_a_caption_that_is_repeated_is_encoded_once(
    micro_sd: Path, monkeypatch: pytest.MonkeyPatch, dropout: float, count: int
) -> None:
    module = _module(micro_sd, text_encoder_learning_rate=1e-4, dropout=dropout)
    module.load_base()
    module.model.eval()  # so that nothing is dropped here
    module.model.text_encoders.double()
    with torch.no_grad():
        for parameter in lora_parameters(module):
            parameter += 0.01
    captions = ["an erica disc", "a disc", "an erica disc", "a disc"]
    encode, asked = module.model.encode_prompts, []
    monkeypatch.setattr(
        module.model,
        "encode_prompts",
        lambda prompts, *rest: asked.append(len(prompts)) or encode(prompts, *rest),
    )
    found = module._conditioning(captions).encoder_hidden_states
    assert asked == [count]
    expected = encode(captions).encoder_hidden_states
    torch.testing.assert_close(found, expected)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0)).double()
    parameters = lora_parameters(module.model.text_encoders)
    both = [torch.autograd.grad((each * weights).sum(), parameters) for each in (found, expected)]
    for ours, theirs in zip(*both, strict=True):
        torch.testing.assert_close(ours, theirs)
