import pytest
import torch

from sdtune.functional import copied_to
from tests.device_traffic import DeviceTraffic


def test_a_copy_has_the_values_and_nothing_waits_for_it() -> None:
    value = torch.tensor([1.5, 2.5])
    assert copied_to(value, "cpu") is value
    assert copied_to(value, "cpu", torch.float16).tolist() == [1.5, 2.5]
    with DeviceTraffic() as traffic:
        there = copied_to(value, "meta", torch.bfloat16)
    assert (there.device.type, there.dtype) == ("meta", torch.bfloat16)
    assert traffic.copies >= 1
    assert traffic.waits == []


@pytest.mark.parametrize(("to", "goes_on"), [("cpu", False), ("meta", True)])
def test_only_copies_away_from_the_cpu_go_on_beside_other_work(
    monkeypatch: pytest.MonkeyPatch, to: str, goes_on: bool
) -> None:
    """From a GPU, memory of the CPU that is filled beside would be read before it is there."""
    asked = []
    monkeypatch.setattr(
        torch.Tensor, "to", lambda value, *args, non_blocking: asked.append(non_blocking) or value
    )
    copied_to(torch.zeros(1, device="meta"), to)
    copied_to(torch.zeros(1), torch.device(to))
    assert asked == [goes_on, goes_on]
