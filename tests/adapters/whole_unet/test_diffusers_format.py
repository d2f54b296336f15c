import copy
import json
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.training_utils import EMAModel

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.pipeline import load_adapter, load_pipeline
from sdtune.adapters.verification import AdapterVerificationError
from sdtune.adapters.whole_unet import TunedUNet
from sdtune.adapters.whole_unet.diffusers_format import DiffusersUNetFormat
from sdtune.models import load
from tests.equal_states import assert_equal_states


@pytest.fixture
def tuned(micro_sd: Path):
    model = load(micro_sd)
    with torch.no_grad():
        for parameter in model.unet.parameters():
            parameter.mul_(1.01)
    return model


def test_diffusers_reads_what_was_saved(tuned, tmp_path):
    path = AdapterSet(TunedUNet.from_model(tuned)).save(tmp_path / "adapter", {"sdtune.steps": "3"})
    unet = UNet2DConditionModel.from_pretrained(path.parent)
    assert_equal_states(tuned.unet, unet)


def test_no_folder_of_this_machine_is_written(tuned, micro_sd, tmp_path):
    path = AdapterSet(TunedUNet.from_model(tuned)).save(tmp_path / "adapter")
    written = (path.parent / "config.json").read_text()
    assert json.loads(written)["_class_name"] == "UNet2DConditionModel"
    assert str(micro_sd.parent) not in written


def test_a_copy_does_not_follow_further_training(tuned):
    adapter = TunedUNet.from_model(tuned)
    before = adapter.weights["conv_in.bias"].clone()
    with torch.no_grad():
        tuned.unet.conv_in.bias += 1
    assert torch.equal(adapter.weights["conv_in.bias"], before)


def test_verify_finds_a_weight_that_differs(tuned, tmp_path):
    adapter = AdapterSet(TunedUNet.from_model(tuned))
    path = adapter.save(tmp_path)
    unet = tuned.unet
    adapter.verify(path, tuned)
    assert tuned.unet is unet
    with torch.no_grad():
        unet.conv_in.bias[0] += 1e-6
    with pytest.raises(AdapterVerificationError, match=r"`conv_in\.bias`"):
        adapter.verify(path, tuned)


def test_a_pipeline_takes_a_run_folder(tuned, micro_sd, tmp_path):
    AdapterSet(TunedUNet.from_model(tuned)).save(tmp_path / "adapter")
    pipeline = load_pipeline(micro_sd, tmp_path)
    assert torch.equal(pipeline.unet.conv_in.weight, tuned.unet.conv_in.weight)
    assert not any(parameter.requires_grad for parameter in pipeline.unet.parameters())


def test_another_architecture_is_refused(tuned, micro_sd, tmp_path):
    path = AdapterSet(TunedUNet.from_model(tuned)).save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"attention_head_dim": 8}))
    with pytest.raises(ValueError, match=r"architecture of .*`attention_head_dim` is 8 and not 4"):
        DiffusersUNetFormat().load(load(micro_sd), path)


def test_foreign_files_are_not_written_over(tuned, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileExistsError, match=r"config.json to be free"):
        AdapterSet(TunedUNet.from_model(tuned)).save(tmp_path)
    assert not (tmp_path / DiffusersUNetFormat.file_name).exists()


def test_a_unet_of_diffusers_average_and_of_another_default_size(tuned, micro_sd, tmp_path):
    average = EMAModel(
        tuned.unet.parameters(), model_cls=UNet2DConditionModel, model_config=tuned.unet.config
    )
    average.save_pretrained(tmp_path / "average")
    assert "decay" in json.loads((tmp_path / "average/config.json").read_text())
    expected = copy.deepcopy(tuned.unet)
    tuned.unet.register_to_config(sample_size=2 * tuned.unet.config.sample_size)
    tuned.unet.save_pretrained(tmp_path / "larger")
    for name in ("average", "larger"):
        model = load(micro_sd)
        load_adapter(model, tmp_path / name)
        assert_equal_states(model.unet, expected)
        assert model.resolution == load(micro_sd).resolution


def test_another_architecture_is_named(tuned, micro_sd, tmp_path):
    tuned.unet.register_to_config(norm_eps=1e-3)
    tuned.unet.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"`norm_eps` is 0.001 and not 1e-05: give the base"):
        load_adapter(load(micro_sd), tmp_path)
