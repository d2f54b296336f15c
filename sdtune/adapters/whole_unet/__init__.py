"""A UNet that is tuned as a whole: the copy apart from the model, a file per format."""

from sdtune.adapters.whole_unet.adapter import TunedUNet

__all__ = ["TunedUNet"]
