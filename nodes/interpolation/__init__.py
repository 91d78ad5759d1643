"""Ways from one value to another."""

from . import between

__all__ = ["between"]
