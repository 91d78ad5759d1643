"""Inpainting: what a mask leaves of a picture."""

from . import blend, masked

__all__ = ["blend", "masked"]
