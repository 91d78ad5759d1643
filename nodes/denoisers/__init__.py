"""Denoisers: networks that predict from a noisy latent."""

from . import cached, control, denoise

__all__ = ["cached", "control", "denoise"]
