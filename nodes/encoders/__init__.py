"""Encoders: texts and pictures to what denoisers read."""

from . import image, text, vae

__all__ = ["image", "text", "vae"]
