import pytest
import torch

from sdtune.adapters.lora import LoRAAdapter, add_lora
from sdtune.adapters.pipeline import load_pipeline


def draw(pipeline):
    generator = torch.Generator().manual_seed(0)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline("a cat", num_inference_steps=2, generator=generator, output_type="np").images


def test_the_adapter_shows_in_the_picture(tmp_path, tiny_sd, model, train):
    add_lora(model, rank=4, alpha=2.0)
    train(model, scale=0.3)
    LoRAAdapter.from_model(model).save(tmp_path / "run" / "adapter")
    base = draw(load_pipeline(tiny_sd))
    tuned = draw(load_pipeline(tiny_sd, tmp_path / "run"))
    assert base.shape == (1, 64, 64, 3)
    assert abs(tuned - base).max() > 0.01
    assert abs(tuned - draw(model.pipeline())).max() < 1e-4


def test_a_missing_adapter_is_found_before_the_base_is_loaded(tmp_path, tiny_sd, monkeypatch):
    monkeypatch.setattr("sdtune.adapters.pipeline.load", lambda base: pytest.fail("loaded"))
    with pytest.raises(FileNotFoundError, match="Expected an adapter at"):
        load_pipeline(tiny_sd, tmp_path / "nowhere")
