import torch

from sdtune.evaluation.circumstances import device_name, library_versions


def test_device_and_versions():
    assert device_name(torch.device("cpu")) == "cpu"
    assert library_versions()["torch"] == torch.__version__
