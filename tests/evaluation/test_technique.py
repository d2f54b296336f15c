import pytest

from sdtune.evaluation.technique import Technique, as_technique
from tests.callbacks.fake_technique import FakeTechnique


def test_a_technique_is_known_by_what_it_offers():
    technique = FakeTechnique()
    assert as_technique(technique) is technique
    assert isinstance(technique, Technique)


def test_what_is_missing_is_named():
    with pytest.raises(TypeError, match="object has no `generate`, `adapter`, `adapter_metadata`"):
        as_technique(object())
