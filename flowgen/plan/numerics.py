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
    """torch's float32 matmul precision"""
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
    precision = torch.get_float32_matmul_precision()
    if mode != "strict":
        return Numerics("fast", precision)
    return Numerics("strict", precision, pad, device, version("torch"))
