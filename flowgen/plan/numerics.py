"""Numerics: what decides rounding, as part of every key."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version

import torch


@dataclass(frozen=True, slots=True)
class Numerics:
    """How exactly results are computed."""

    mode: str = "fast"
    """fast: results agree up to float rounding; strict: to the bit"""
    matmul: str = "highest"
    """torch's float32 matmul precision; with ``highest``, convolutions are as exact"""
    pad: int = 0
    """strict: rows of every model call"""
    device: str = ""
    """strict: class of device"""
    torch: str = ""
    """strict: version"""

    @property
    def strict(self) -> bool:
        """Whether results are to agree to the bit."""
        return self.mode == "strict"

    def text(self) -> str:
        """Canonical, for keys."""
        return text_of(self)


@lru_cache(maxsize=8)
def text_of(numerics: Numerics) -> str:
    """Made once: it stands in every block."""
    return json.dumps(asdict(numerics), sort_keys=True)


def numerics(mode: str, pad: int, device: str) -> Numerics:
    """The numerics of a run on this machine."""
    try:
        precision = torch.get_float32_matmul_precision()
    except RuntimeError:  # it was set by torch's newer names
        precision = "high" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "highest"
    if mode != "strict":
        return Numerics("fast", precision)
    return Numerics("strict", precision, pad, device, version("torch"))
