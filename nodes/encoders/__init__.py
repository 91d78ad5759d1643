"""Encoders: texts (and images) to what denoisers read."""

from . import text, vae

__all__ = ["text", "vae"]
