from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from sdtune.functional.flop_counter import flop_counter


def test_flop_of_a_linear_layer_are_those_counted_by_hand():
    layer, inputs = nn.Linear(5, 7), torch.randn(3, 5, requires_grad=True)
    with flop_counter() as counter:
        layer(inputs).sum().backward()
    forward = 2 * 3 * 5 * 7
    assert counter.get_total_flops() == 3 * forward  # gradients of inputs and of weights


def test_flop_of_attention_are_counted_on_a_cpu_too():
    batch, heads, queries, keys, width = 2, 3, 8, 5, 16
    query = torch.randn(batch, heads, queries, width, requires_grad=True)
    key, value = torch.randn(2, batch, heads, keys, width)
    with flop_counter() as counter:
        result = F.scaled_dot_product_attention(query, key, value)
    product = 2 * batch * heads * queries * keys * width
    assert counter.get_total_flops() == 2 * product  # with keys, and with values
    with flop_counter() as counter:
        result.sum().backward()
    assert counter.get_total_flops() == 5 * product  # the scores once more, and four gradients
