import pytest
import torch

from sdtune.models.loading import load
from sdtune.models.skeleton import load_skeleton


@pytest.mark.parametrize("base", ["nano", "tiny"])
def test_a_skeleton_has_the_modules_and_shapes_of_its_base_and_no_values(base, tiny_sd):
    base = str(tiny_sd) if base == "tiny" else base
    model = load(base)
    skeleton = load_skeleton(base)
    for name, part in {"unet": model.unet, "text_encoder": model.text_encoders[0]}.items():
        found = {key: value.shape for key, value in skeleton[name].named_parameters()}
        assert found == {key: value.shape for key, value in part.named_parameters()}
        assert {value.device for value in skeleton[name].parameters()} == {torch.device("meta")}


def test_a_base_that_is_none_is_refused():
    with pytest.raises(ValueError, match="Expected `base` to be"):
        load_skeleton("no base")
