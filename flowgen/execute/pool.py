"""Loaded models of a process: each part once, shared by its tasks, within a budget of bytes for each device."""

from __future__ import annotations

import gc
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from flowgen.errors import UserError
from flowgen.execute.device import room_for_weights
from flowgen.values.model import Part, loader_of

Digests = Mapping[Part, str]


class StaleWeights(UserError):
    """A run can't go on: its keys speak of other weights."""


class Pool:
    """Parts by content. The least recently used go when the budget is spent; a part in use lives on with its task."""

    def __init__(self, budget: int | None = None) -> None:
        self.budget = budget
        """bytes of weights on each device; None: by its memory"""
        self.held: OrderedDict[tuple[str, str, bool], Any] = OrderedDict()
        self.loads = 0
        """how many parts were loaded"""
        self.lock = threading.RLock()

    def opener(self, device: str, digests: Digests, file_digest: Callable[[Path], str]) -> Callable[[Part], Any]:
        """What ``model[part]`` does in a task. Raises UserError if weights aren't those that were planned with."""

        opened: dict[int, tuple[Part, Any]] = {}  # a task's own, so that a step asks no file for its digest

        def open_part(part: Part) -> Any:
            if (known := opened.get(id(part))) and known[0] is part:
                return known[1]
            for each in part.whole():
                if each.away:
                    loader_of(each).fetch(each)
            digest = part.digest(file_digest)
            if digests.get(part, digest) != digest:
                raise StaleWeights(
                    f"the weights in {part.folder} changed after the run was planned", hint="start the run again"
                )
            opened[id(part)] = part, self.get(part, digest, device)
            return opened[id(part)][1]

        return open_part

    def get(self, part: Part, digest: str, device: str) -> Any:
        """The loaded part."""
        with self.lock:
            key = (digest, part.device or device, part.offload)
            if key not in self.held:
                self.held[key] = loader_of(part).load(part, part.device or device)
                self.loads += 1
                self.evict(key[1])
            self.held.move_to_end(key)
            return self.held[key]

    def evict(self, device: str) -> None:
        """Let the least recently used parts of a device go, down to the budget; the newest stays."""
        budget = room_for_weights(device) if self.budget is None else self.budget
        sizes = {key: size_of(module) for key, module in self.held.items() if key[1] == device}
        before = len(self.held)
        for key in list(sizes)[:-1]:
            if sum(sizes.values()) <= budget:
                break
            del self.held[key], sizes[key]
        if len(self.held) < before:  # they may be cycles, and among what the collector passes over
            gc.unfreeze()
            gc.collect()


def size_of(module: Any) -> int:
    """Bytes of a network's weights; other parts count nothing."""
    if not isinstance(module, torch.nn.Module):
        return 0
    return sum(weight.nbytes for weight in [*module.parameters(), *module.buffers()])
