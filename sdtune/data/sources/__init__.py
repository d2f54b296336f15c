"""Sources of pictures: one way in which people keep them, a file each, behind one protocol."""

from sdtune.data.sources.registry import check_source, register
from sdtune.data.sources.source import Asked, Listed, Listing, Sign, Source

__all__ = ["Asked", "Listed", "Listing", "Sign", "Source", "check_source", "register"]
