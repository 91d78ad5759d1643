"""Denoisers: networks that predict from a noisy latent."""

from . import cached, denoise

__all__ = ["cached", "denoise"]
