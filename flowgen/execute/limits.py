"""How many items a call may have: learned where memory ran out, and remembered for the next task and the next run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import torch

from flowgen.execute.device import card


def ran_out(error: BaseException) -> bool:
    """Whether an exception says that there is too little memory, of the device or of the machine."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, torch.AcceleratorError):
        return False
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)  # torch's own, on a CPU


@lru_cache(maxsize=8)
def holding(device: str) -> str:
    """What decides how much a device holds: its name and its bytes."""
    if not device.startswith("cuda") or not torch.cuda.is_available():
        return device
    return "{}, {}".format(*card(device))


@dataclass(slots=True)
class Limits:
    """The most items at once of what has once been too much."""

    device: str = "cpu"
    known: Mapping[str, int] = field(default_factory=dict)
    """by ``name`` of a call: from earlier tasks and runs"""
    learned: dict[str, int] = field(default_factory=dict)
    """new"""

    def most(self, type: str, shape: object, count: int) -> int:
        """How many of ``count`` items a call of a node type may have. ``shape`` is what decides the memory of one."""
        name = self.name(type, shape)
        return min(count, self.learned.get(name) or self.known.get(name) or count)

    def concerns(self, type: str) -> bool:
        """Whether anything is known of a node type: most runs never need a call's shape."""
        if not self.known and not self.learned:
            return False
        return any(name.startswith(f"{type}|") for table in (self.known, self.learned) for name in table)

    def lower(self, type: str, shape: object, count: int) -> None:
        """So many were too many."""
        self.learned[self.name(type, shape)] = (count + 1) // 2

    def name(self, type: str, shape: object) -> str:
        """What a limit holds for: node type, shapes and precision of its arguments, its model, the card."""
        told = hashlib.sha256(repr((shape, holding(self.device))).encode()).hexdigest()[:16]
        return f"{type}|{told}"
