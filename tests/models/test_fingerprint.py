from __future__ import annotations

from torch import nn

from sdtune.models.fingerprint import fingerprint


def test_names_shapes_and_values_count_and_types_do_not() -> None:
    module = nn.Linear(2, 3).half()
    assert fingerprint(module) == fingerprint(module.float())
    other = nn.Linear(2, 3)
    assert fingerprint(other) != fingerprint(module)
    other.load_state_dict(module.state_dict())
    assert fingerprint(other) == fingerprint(module)
    assert fingerprint(nn.Sequential(module)) != fingerprint(module)
