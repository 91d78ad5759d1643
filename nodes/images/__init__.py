"""Pictures and masks."""

from . import load, mask

__all__ = ["load", "mask"]
