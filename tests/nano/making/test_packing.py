"""What nano's trainings leave becomes folders that the libraries load."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import CLIPModel

from sdtune.metrics.features import load_clip
from sdtune.nano.making.clip import NanoCLIPModule
from sdtune.nano.making.figures import Judge
from sdtune.nano.making.packing import pack_clip
from tests.quiet_trainer import quiet_trainer


def test_a_packed_clip_judges_as_it_was_trained(tokenizer: Path, tmp_path: Path) -> None:
    module = NanoCLIPModule(
        str(tokenizer), text_width=32, vision_width=32, layers=1, patch_size=16, projection_dim=16
    )
    module.clip.half().float()  # as it is stored
    trainer = quiet_trainer()
    trainer.strategy.connect(module)
    trainer.save_checkpoint(tmp_path / "clip.ckpt", weights_only=True)
    pack_clip(tmp_path / "clip.ckpt", tokenizer, tmp_path / "packed")
    # stored in half precision, and loaded by transformers 5 as its configuration says
    assert CLIPModel.from_pretrained(tmp_path / "packed").dtype == torch.float32
    stored = load_file(tmp_path / "packed" / "model.safetensors").values()
    assert {each.dtype for each in stored if each.is_floating_point()} == {torch.float16}
    packed, judge = load_clip(tmp_path / "packed"), Judge(module.clip, module.tokenizer)
    images = torch.randint(256, (3, 3, 64, 64), generator=torch.Generator().manual_seed(0)) / 255
    torch.testing.assert_close(packed.embed_images(images), judge.embed_images(images))
    texts = ["a turtle", "an apple on a plain pink background"]
    torch.testing.assert_close(packed.embed_texts(texts), judge.embed_texts(texts))
