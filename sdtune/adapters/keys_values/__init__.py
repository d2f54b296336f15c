"""Tuned keys and values: projections in the UNet, the adapter apart from it, a file per format."""

from sdtune.adapters.keys_values.adapter import CrossAttentionAdapter
from sdtune.adapters.keys_values.layers import (
    TARGET_MODULES,
    TunedProjection,
    add_tuned_projections,
    projection_names,
    remove_tuned_projections,
    tuned_projections,
    without_tuned_projections,
)

__all__ = [
    "TARGET_MODULES",
    "CrossAttentionAdapter",
    "TunedProjection",
    "add_tuned_projections",
    "projection_names",
    "remove_tuned_projections",
    "tuned_projections",
    "without_tuned_projections",
]
