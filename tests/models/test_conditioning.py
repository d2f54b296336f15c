from __future__ import annotations

import pytest
import torch

from sdtune.models import Conditioning


def _conditioning() -> Conditioning:
    return Conditioning(
        torch.arange(12.0).reshape(3, 2, 2), {"text_embeds": torch.arange(3.0)[:, None]}
    )


@pytest.mark.parametrize("index", [[2, 0, 2], torch.tensor([2, 0, 2])])
def test_rows_are_selected_with_their_extra_inputs(index: list[int] | torch.Tensor) -> None:
    conditioning = _conditioning()
    chosen = conditioning[index]
    assert len(chosen) == 3
    assert chosen.added_cond_kwargs["text_embeds"].flatten().tolist() == [2.0, 0.0, 2.0]
    assert torch.equal(chosen.encoder_hidden_states[1], conditioning.encoder_hidden_states[0])


def test_batches_are_joined() -> None:
    conditioning = _conditioning()
    joined = Conditioning.cat([conditioning[:1], conditioning[1:]])
    assert torch.equal(joined.encoder_hidden_states, conditioning.encoder_hidden_states)
    assert joined.added_cond_kwargs["text_embeds"].flatten().tolist() == [0.0, 1.0, 2.0]


def test_what_the_pictures_add_stands_beside_what_the_prompts_gave() -> None:
    conditioning = _conditioning()
    both = conditioning.with_inputs({"time_ids": torch.tensor([[64, 64]] * 3)})
    assert sorted(both.added_cond_kwargs) == ["text_embeds", "time_ids"]
    assert sorted(conditioning.added_cond_kwargs) == ["text_embeds"]
    moved = both.to(dtype=torch.float16)
    assert moved.encoder_hidden_states.dtype == torch.float16
    assert moved.added_cond_kwargs["text_embeds"].dtype == torch.float16
    assert moved.added_cond_kwargs["time_ids"].dtype == torch.int64
    with pytest.raises(ValueError, match="`text_embeds` to be a new input"):
        conditioning.with_inputs({"text_embeds": torch.zeros(3, 1)})
    with pytest.raises(ValueError, match="`time_ids` to be a new input of 3 rows"):
        conditioning.with_inputs({"time_ids": torch.zeros(2, 6)})
