"""Denoisers: networks that predict from a noisy latent."""

from . import unet

__all__ = ["unet"]
