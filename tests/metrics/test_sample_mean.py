import pytest
import torch

from sdtune.metrics.sample_mean import SampleMean


class Mean(SampleMean):
    def update(self, values):
        self.add(values)


def test_batches_count_by_their_size():
    metric = Mean()
    metric.update(torch.tensor([1.0, 2.0, 3.0]))
    metric.update(torch.tensor([10.0]))
    assert metric.compute() == pytest.approx(4.0)
    metric.reset()
    metric.update(torch.tensor([5.0]))
    assert metric.compute() == pytest.approx(5.0)
