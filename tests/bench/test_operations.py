import torch

from sdtune.bench.operations import OperationCounter


def test_dtype_copies_and_reads_are_counted():
    with OperationCounter() as counter:
        number = torch.ones(2).to(torch.bfloat16)
        number.to(torch.bfloat16)  # is of that type
        number.to(torch.int64)  # is no floating type
        torch.zeros(2).copy_(number)
        number.sum().item()
    assert counter.dtype_copies == 2
    assert counter.waits == 1
    assert counter.device_copies == 0
    with OperationCounter() as counter:
        torch.ones(2, device="meta").copy_(torch.ones(2))
    assert counter.device_copies == 1
