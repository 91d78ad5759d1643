"""Decoders: latents to pictures."""

from . import vae

__all__ = ["vae"]
