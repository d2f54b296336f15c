from __future__ import annotations

import pytest

from sdtune.metrics import lpips
from sdtune.metrics.lpips import load_lpips


def test_the_extra_is_named(monkeypatch):
    def require(module, extra):
        raise ModuleNotFoundError(f'pip install "sdtune[{extra}]"')

    monkeypatch.setattr(lpips, "require", require)
    with pytest.raises(ModuleNotFoundError, match=r"sdtune\[lpips\]"):
        load_lpips()


def test_weights_out_of_reach_give_one_sentence(monkeypatch):
    import torchmetrics.image.lpip as peer

    def unreachable(*arguments, **named):
        raise OSError("no network")

    monkeypatch.setattr(lpips, "require", lambda module, extra: None)
    monkeypatch.setattr(peer, "LearnedPerceptualImagePatchSimilarity", unreachable)
    with pytest.raises(ValueError, match="not in torch's cache") as caught:
        load_lpips()
    assert "\n" not in str(caught.value)
