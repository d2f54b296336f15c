import pytest
import torch

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.lora import LoRAAdapter, add_lora
from sdtune.adapters.pipeline import load_pipeline
from sdtune.adapters.words import TokenEmbeddingAdapter, add_token_embedding


def draw(pipeline, prompt="a cat"):
    generator = torch.Generator().manual_seed(0)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(prompt, num_inference_steps=2, generator=generator, output_type="np").images


def test_the_adapter_shows_in_the_picture(tmp_path, micro_sd, model, train):
    add_lora(model, rank=4, alpha=2.0)
    train(model, scale=0.3)
    AdapterSet(LoRAAdapter.from_model(model)).save(tmp_path / "run" / "adapter")
    base = draw(load_pipeline(micro_sd))
    tuned = draw(load_pipeline(micro_sd, tmp_path / "run"))
    assert base.shape == (1, 64, 64, 3)
    assert abs(tuned - base).max() > 0.01
    assert abs(tuned - draw(model.pipeline())).max() < 1e-4


def test_a_missing_adapter_is_found_before_the_base_is_loaded(tmp_path, micro_sd, monkeypatch):
    monkeypatch.setattr("sdtune.adapters.pipeline.load", lambda base: pytest.fail("loaded"))
    with pytest.raises(FileNotFoundError, match="Expected an adapter at"):
        load_pipeline(micro_sd, tmp_path / "nowhere")


def test_a_learned_word_is_found_by_file_folder_and_run(tmp_path, micro_sd, model):
    [rows] = add_token_embedding(model, "<erica>", "c", num_vectors=2)
    rows.data += 1
    path = AdapterSet(TokenEmbeddingAdapter.from_model(model)).save(tmp_path / "run" / "adapter")
    expected = draw(model.pipeline(), "a <erica>")
    for given in (path, path.parent, tmp_path / "run"):
        assert abs(draw(load_pipeline(micro_sd, given), "a <erica>") - expected).max() == 0
    assert abs(draw(load_pipeline(micro_sd), "a <erica>") - expected).max() > 0.01


@pytest.mark.slow
def test_a_word_and_its_lora_are_loaded_together(tmp_path, micro_sd, model, train):
    add_lora(model, rank=4, alpha=2.0, text_encoder=True)
    train(model, scale=0.3)
    [rows] = add_token_embedding(model, "<erica>", "c")
    rows.data += 1
    words = [TokenEmbeddingAdapter.from_model(model)]
    adapter = AdapterSet(*words, LoRAAdapter.from_model(model))
    path = adapter.save(tmp_path, {"sdtune.steps": "2"})
    adapter.verify(path, model)
    expected = draw(model.pipeline(), "a <erica>")
    for given in (path, tmp_path):
        assert abs(draw(load_pipeline(micro_sd, given), "a <erica>") - expected).max() < 1e-4
    (tmp_path / "learned_embeds.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"learned_embeds.safetensors beside .*copy all"):
        load_pipeline(micro_sd, path)
