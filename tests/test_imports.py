import pytest

from sdtune import _imports


def test_require_accepts_what_is_installed():
    _imports.require("json", extra="test")


def test_require_names_the_pip_extra():
    with pytest.raises(ModuleNotFoundError, match=r'pip install "sdtune\[nano\]"') as caught:
        _imports.require("sdtune_has_no_such_module", extra="nano")
    assert caught.value.name == "sdtune_has_no_such_module"


def test_versions_are_of_what_is_installed():
    import torch

    found = _imports.installed_versions("torch", "no-such-package-of-anyone")
    assert list(found) == ["torch"]
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
