"""Where a process computes: the device that a user names, and what it has."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from flowgen.errors import UserError
from flowgen.store.quantities import shown


def device_of(name: str) -> str:
    """A device that is there; ``auto`` is a GPU where there is one. Raises UserError."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError:
        raise UserError(f"'{name}' is no device", hint="cpu, cuda, cuda:1, mps or auto") from None
    if kind == "cpu":
        return name
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(kind, False):
        raise UserError(f"this machine has no device '{name}'", hint="auto takes what there is")
    return name


@dataclass(frozen=True, slots=True)
class Memory:
    """A device and its memory."""

    name: str
    free: int
    """bytes"""
    total: int
    """bytes"""

    def text(self) -> str:
        """As a table shows it."""
        return f"{self.name}, {shown(self.free)} free of {shown(self.total)}"


def memory_of(device: str) -> Memory:
    """A device's name and memory; a CPU's is the machine's."""
    if torch.device(device).type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return Memory(torch.cuda.get_device_name(device), free, total)
    page = os.sysconf("SC_PAGE_SIZE")
    return Memory(device, page * os.sysconf("SC_AVPHYS_PAGES"), page * os.sysconf("SC_PHYS_PAGES"))


def card(device: str) -> tuple[str, int]:
    """A GPU's name and its bytes."""
    about = torch.cuda.get_device_properties(device)
    return str(about.name), int(about.total_memory)


LARGEST_ROOM = 16 << 30
"""bytes; in main memory, which others use too"""


def room_for_weights(device: str) -> int:
    """Bytes of weights that a process holds on a device at once: a batch of its own needs the rest."""
    total = memory_of(device).total
    return total * 3 // 4 if torch.device(device).type == "cuda" else min(LARGEST_ROOM, total // 2)
