import pytest

from sdtune.evaluation.technique import as_technique, is_technique
from tests.callbacks.fake_technique import FakeTechnique


def test_a_technique_is_known_by_what_it_offers():
    technique = FakeTechnique()
    assert as_technique(technique) is technique


def test_what_is_missing_is_named():
    with pytest.raises(TypeError, match="object has no `generate`, `adapter`, `adapter_metadata`"):
        as_technique(object())


def test_whether_a_module_is_a_technique_can_be_asked():
    assert is_technique(FakeTechnique())
    assert not is_technique(object())
