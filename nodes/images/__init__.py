"""Pictures and masks."""

from . import load, mask, resize

__all__ = ["load", "mask", "resize"]
