"""The cores near a GPU: memory that it copies from is fast there, and threads that wait for it aren't moved away."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from distributed import Worker, WorkerPlugin

SYSTEM = Path("/sys")


class Near(WorkerPlugin):  # type: ignore[misc]
    """Binds a worker's process to the cores near its GPU, the first that it sees, before it has threads that compute.

    Where the machine doesn't say which are near, nothing is bound.
    """

    name = "flowgen-near"

    def setup(self, worker: Worker) -> None:
        """Bind the thread that starts all others, and use no more threads than that leaves cores."""
        if not torch.cuda.is_available() or not hasattr(os, "sched_setaffinity"):
            return
        cores = near(address(torch.cuda.get_device_properties(0))) & os.sched_getaffinity(0)
        if cores:
            os.sched_setaffinity(0, cores)
            torch.set_num_threads(min(torch.get_num_threads(), len(cores)))


def address(about: Any) -> str:
    """A GPU's address on the PCI bus as Linux writes it, from what torch says of it; empty where it doesn't."""
    if not hasattr(about, "pci_domain_id"):
        return ""
    return f"{about.pci_domain_id:04x}:{about.pci_bus_id:02x}:{about.pci_device_id:02x}.0"


def near(device: str, system: Path = SYSTEM) -> set[int]:
    """The cores of the NUMA node that a PCI device is at; none where there is but one node, which reads -1.

    Documentation/ABI/testing/sysfs-bus-pci and sysfs-devices-node of Linux.
    """
    try:
        node = int((system / "bus/pci/devices" / device / "numa_node").read_text() if device else "-1")
        listed = (system / f"devices/system/node/node{node}/cpulist").read_text()
        return numbers(listed) if node >= 0 else set()
    except (OSError, ValueError):
        return set()


def numbers(text: str) -> set[int]:
    """``0-3,8,10-11`` as the kernel lists cores. Raises ValueError."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
