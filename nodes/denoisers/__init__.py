"""Denoisers: networks that predict from a noisy latent."""

from . import control, denoise

__all__ = ["control", "denoise"]
