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
