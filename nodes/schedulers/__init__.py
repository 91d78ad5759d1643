"""Schedulers: the loops of diffusion, one file each."""

from . import (
    ddim,
    ddpm,
    deis,
    dpm_2m,
    dpm_2m_sde,
    dpm_2s,
    dpm_3m,
    edm,
    euler,
    euler_ancestral,
    heun,
    lcm,
    lms,
    pndm,
    tcd,
    unipc,
)

__all__ = [
    "ddim",
    "ddpm",
    "deis",
    "dpm_2m",
    "dpm_2m_sde",
    "dpm_2s",
    "dpm_3m",
    "edm",
    "euler",
    "euler_ancestral",
    "heun",
    "lcm",
    "lms",
    "pndm",
    "tcd",
    "unipc",
]
