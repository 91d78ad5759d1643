"""Two networks that take turns: one for noisy times, the other for the end."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from flowgen.values.model import Loader, Part, canonical, loader_of
from flowgen.values.random import is_abstract

PAIR = "transformer_pair"
"""what the part is called"""


def pair(first: Part, second: Part) -> Part:
    """Two parts as one."""
    config = canonical({part.name: json.loads(part.config) for part in (first, second)})
    loader = f"{Pair.__module__}:{Pair.__qualname__}"
    return Part(PAIR, loader, first.folder, config, dtype=first.dtype, of=(first, second))


class Pair(Loader):
    """Both, from the folders of each."""

    libraries = ("diffusers",)

    def build(self, part: Part) -> Any:
        """From their configurations."""
        return Turns(*(loader_of(own).build(own) for own in part.of)).eval()

    def load(self, part: Part, device: str) -> Any:
        """From their weights."""
        from ..models.running import ready

        return ready(Turns(*(loader_of(own).load(own, "cpu") for own in part.of)), part, device)


class Turns(nn.Module):
    """A network that is the first one at times from ``boundary`` on, and the second one at earlier times."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.config = first.config
        self._keep_in_fp32_modules = getattr(first, "_keep_in_fp32_modules", None)

    def forward(self, x: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, boundary: float | None) -> Any:
        """Each row [B, ...] by the network of its own time [B]; without a boundary all by the first."""

        def asked(net: nn.Module, rows: Tensor | slice) -> Tensor:
            said: Tensor = net(x[rows], timestep[rows], encoder_hidden_states=encoder_hidden_states[rows]).sample
            return said

        late = None if boundary is None or is_abstract() else timestep < boundary
        if late is None or not late.any():
            return SimpleNamespace(sample=asked(self.first, slice(None)))
        if late.all():
            return SimpleNamespace(sample=asked(self.second, slice(None)))
        early, later = (torch.nonzero(each).flatten() for each in (~late, late))
        both = torch.cat([asked(self.first, early), asked(self.second, later)])
        return SimpleNamespace(sample=both[torch.cat([early, later]).argsort()])
