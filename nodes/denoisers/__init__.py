"""Denoisers: networks that predict from a noisy latent."""

from . import denoise

__all__ = ["denoise"]
