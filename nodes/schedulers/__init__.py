"""Schedulers: the loops of diffusion, one file each."""

from . import ddim, ddpm

__all__ = ["ddim", "ddpm"]
