"""A base as a run had it, for adapters that are scored after training."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import cast, get_args

import torch

from sdtune.adapters.keys_values import TARGET_MODULES, CrossAttentionAdapter
from sdtune.adapters.pipeline import find_adapter_files
from sdtune.adapters.registry import recognise
from sdtune.adapters.whole_unet import TunedUNet
from sdtune.adapters.words import TokenEmbeddingAdapter
from sdtune.models.loading import load
from sdtune.models.quantization import Quantization, check_quantization, quantize_base
from sdtune.models.stable_diffusion import StableDiffusion
from sdtune.run_folder.run_recipe import model_argument, precision_of
from sdtune.run_folder.terms import EvaluationSettings, Precision, QuantizedParts

__all__ = ["TrainedBase"]


class TrainedBase:
    """Loads a base in the precision of a run, quantised as it was: with it alone scores compare.

    Args:
        base: As in `sdtune.load`.
        adapter: What is scored, whose run's recipe tells what the record does not; None is none.
        scored: Each adapter that will be put on it.
        recorded: What the run's record says, or what does not say it.
    """

    def __init__(
        self,
        base: str,
        adapter: Path | None,
        scored: Sequence[Path],
        recorded: EvaluationSettings,
    ) -> None:
        self._base = base
        files = [path for each in scored for path in find_adapter_files(each)]
        kinds = {recognise(path).adapter_type for path in files}
        self._is_whole = TunedUNet in kinds
        self._left = TARGET_MODULES if CrossAttentionAdapter in kinds else ()
        self.precision: Precision = recorded.precision or (
            "float32" if adapter is None else precision_of(adapter)
        )
        self.quantization: QuantizedParts = recorded.quantization or "none"
        if recorded.quantization is None and adapter is not None:
            learns_texts = TokenEmbeddingAdapter in kinds or bool(
                model_argument(adapter, "text_encoder_learning_rate")
            )
            self.quantization = _parts(model_argument(adapter, "quantization"), learns_texts)

    def check(self) -> None:
        """Check that it can be quantised here.

        Raises:
            ValueError: If bitsandbytes is not installed.
        """
        check_quantization(self._how)

    def load(self, device: torch.device) -> StableDiffusion:
        """Load it anew, quantised where a run quantises: a few weights are rounded by that."""
        model = load(self._base)
        if not self._is_whole:  # half precision loses small steps: it was trained in float32
            model.set_dtype(getattr(torch, self.precision))
        if self._how is not None:
            texts = self.quantization.endswith("+text_encoders")
            quantize_base(model, self._how, text_encoders=texts, whole=self._left, device=device)
        return model

    def computing(self, device: torch.device) -> AbstractContextManager[object]:
        """Compute as the Trainer does, inside."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(device.type, getattr(torch, self.precision))

    @property
    def _how(self) -> Quantization | None:
        how = self.quantization.partition(":")[0]
        return None if how == "none" else cast(Quantization, how)


def _parts(how: object, text_encoders: bool) -> QuantizedParts:
    """Name what a recipe has quantised."""
    named = f"{how}:unet" + ("+text_encoders" if text_encoders else "")
    return cast(QuantizedParts, named) if named in get_args(QuantizedParts) else "none"
