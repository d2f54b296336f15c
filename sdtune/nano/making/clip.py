"""nano's CLIP and its training."""

from inspect import currentframe

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from sdtune.functional import Stream, counter_generator
from sdtune.nano.making.rough_copies import rough_copies
from sdtune.nano.making.scene_data import SceneBatch
from sdtune.nano.making.schedule import adamw_with_decay

__all__ = ["NanoCLIPModule"]


class NanoCLIPModule(L.LightningModule):
    """Trains a CLIP on scenes and their captions (Radford et al. 2021).

    Args:
        tokenizer: folder of nano's tokenizer.
        learning_rate: AdamW's rate on the plateau.
        text_width: width of the text encoder, which is what the UNet attends to.
        vision_width: width of the image encoder.
        layers: layers of either encoder.
        patch_size: side of the image encoder's patches in pixels.
        projection_dim: dimension of the shared space.
        rough_share: share of pictures that training shows bent, blurred and blotched, in [0, 1], so
            that the CLIP recognises what is drawn badly.
        seed: seed of the initial weights and of the rough pictures.
    """

    def __init__(
        self,
        tokenizer: str,
        learning_rate: float = 1e-3,
        text_width: int = 128,
        vision_width: int = 192,
        layers: int = 4,
        patch_size: int = 8,
        projection_dim: int = 128,
        rough_share: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(frame=currentframe())  # else Lightning keeps it
        self.learning_rate = learning_rate
        self.rough_share = rough_share
        self.seed = seed
        self.tokenizer = CLIPTokenizer.from_pretrained(tokenizer)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.clip = CLIPModel(
                _config(
                    self.tokenizer, text_width, vision_width, layers, patch_size, projection_dim
                )
            )

    def training_step(self, batch: SceneBatch, batch_idx: int) -> Tensor:
        """Match the pictures of a batch with their captions."""
        pixel_values = batch["pixel_values"]
        if self.rough_share:
            number = self.global_step * self.trainer.world_size + self.global_rank
            generator = counter_generator(self.seed, Stream.AUGMENTATION, number)
            pixel_values = rough_copies(pixel_values, self.rough_share, generator)
        similarity = self._similarity(pixel_values, batch["caption"])
        answers = torch.arange(len(similarity), device=similarity.device)
        loss = (F.cross_entropy(similarity, answers) + F.cross_entropy(similarity.T, answers)) / 2
        top1 = (similarity.argmax(dim=1) == answers).float().mean()
        self.log_dict({"train/loss": loss, "train/top1": top1}, prog_bar=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Collect embeddings from here on."""
        self._embeddings: list[tuple[Tensor, Tensor]] = []

    def validation_step(self, batch: SceneBatch, batch_idx: int) -> None:
        """Embed pictures and captions."""
        self._embeddings.append(self._embed(batch["pixel_values"], batch["caption"]))

    def on_validation_epoch_end(self) -> None:
        """Measure how often a picture finds its caption among 100."""
        images, texts = (torch.cat(part) for part in zip(*self._embeddings, strict=True))
        hits = []
        for first in range(0, len(images) - 99, 100):
            part = slice(first, first + 100)
            hits.append(
                (images[part] @ texts[part].T).argmax(dim=1)
                == torch.arange(100, device=images.device)
            )
        if hits:
            self.log("val/top1_of_100", torch.cat(hits).float().mean(), prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return AdamW with a trapezoid schedule."""
        return adamw_with_decay(
            self.clip.parameters(),
            self.learning_rate,
            int(self.trainer.estimated_stepping_batches),
            warmup_steps=50,
        )

    def _embed(self, pixel_values: Tensor, captions: list[str]) -> tuple[Tensor, Tensor]:
        """Return unit vectors of pictures and captions, (B, D) each."""
        tokens = self.tokenizer(
            captions, padding="max_length", truncation=True, return_tensors="pt"
        ).to(pixel_values.device)
        output = self.clip(
            input_ids=tokens.input_ids,
            attention_mask=tokens.attention_mask,
            pixel_values=pixel_values,
        )
        return output.image_embeds, output.text_embeds

    def _similarity(self, pixel_values: Tensor, captions: list[str]) -> Tensor:
        images, texts = self._embed(pixel_values, captions)
        return self.clip.logit_scale.clamp(max=4.6).exp() * images @ texts.T


def _config(
    tokenizer: CLIPTokenizer,
    text_width: int,
    vision_width: int,
    layers: int,
    patch_size: int,
    projection_dim: int,
) -> CLIPConfig:
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": text_width,
        "intermediate_size": 4 * text_width,
        "num_hidden_layers": layers,
        "num_attention_heads": text_width // 32,
        "max_position_embeddings": tokenizer.model_max_length,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "projection_dim": projection_dim,
    }
    vision = {
        "hidden_size": vision_width,
        "intermediate_size": 4 * vision_width,
        "num_hidden_layers": layers,
        "num_attention_heads": vision_width // 32,
        "image_size": 64,
        "patch_size": patch_size,
        "projection_dim": projection_dim,
    }
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=projection_dim)
