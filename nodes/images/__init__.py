"""Pictures and masks."""

from . import depth, load, mask, resize

__all__ = ["depth", "load", "mask", "resize"]
