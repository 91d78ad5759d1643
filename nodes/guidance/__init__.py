"""Guidance: how predictions are combined."""

from . import cfg

__all__ = ["cfg"]
