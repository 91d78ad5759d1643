"""Loaded models of a process: each part once, shared by its tasks, within a budget of bytes for each device."""

from __future__ import annotations

import gc
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from flowgen.errors import UserError
from flowgen.execute.device import room_for_weights
from flowgen.execute.limits import ran_out
from flowgen.values.model import NoRoom, Part, loader_of, no_room, size_of

Digests = Mapping[Part, str]
FileDigest = Callable[[Path], str]
Key = tuple[str, str, bool]
"""a part's digest, its device, whether it is offloaded"""


class StaleWeights(UserError):
    """A run can't go on: its keys speak of other weights."""


class Pool:
    """Parts by content. The least recently used go before one that would exceed the budget is loaded; a part in use
    lives on with its task.
    """

    def __init__(self, budget: int | None = None) -> None:
        self.budget = budget
        """bytes of weights on each device; None: by its memory"""
        self.held: OrderedDict[Key, Any] = OrderedDict()
        self.loads = 0
        """how many parts were loaded"""
        self.lock = threading.RLock()

    def opener(
        self, device: str, digests: Digests, file_digest: FileDigest, sizes: Mapping[Part, int] | None = None
    ) -> Opened:
        """What a task uses parts through. ``sizes``: bytes of weights, as far as they are known before loading."""
        return Opened(self, device, digests, file_digest, sizes or {})

    def get(self, part: Part, key: Key, size: int = 0) -> Any:
        """The loaded part. ``size``: what is known of its bytes. Raises NoRoom."""
        with self.lock:
            if key not in self.held:
                self.evict(key[1], size)
                made = loaded(part, key[1], size)
                self.evict(key[1], size_of(made))
                self.held[key] = made
                self.loads += 1
            self.held.move_to_end(key)
            return self.held[key]

    def evict(self, device: str, size: int) -> None:
        """Let the least recently used parts of a device go, until so many bytes more are within the budget."""
        budget = room_for_weights(device) if self.budget is None else self.budget
        sizes = {key: size_of(module) for key, module in self.held.items() if key[1] == device}
        gone = []
        while sizes and sum(sizes.values()) + size > budget:
            gone.append(next(iter(sizes)))
            del sizes[gone[-1]]
        self.drop(gone)

    def heavy(self) -> set[Key]:
        """Parts with weights."""
        return {key for key, module in self.held.items() if size_of(module)}

    def drop(self, keys: Collection[Key]) -> None:
        """Let some parts go, and give their memory back."""
        if not keys:
            return
        for key in keys:
            self.held.pop(key, None)
        gc.unfreeze()  # they may be cycles, and among what the collector passes over
        gc.collect()
        torch.cuda.empty_cache()


class Opened:
    """The parts that a task uses. Called, it is what ``model[part]`` does."""

    def __init__(
        self, pool: Pool, device: str, digests: Digests, file_digest: FileDigest, sizes: Mapping[Part, int]
    ) -> None:
        self.pool = pool
        self.device = device
        self.digests = digests
        self.file_digest = file_digest
        self.sizes = sizes
        self.opened: dict[int, tuple[Part, Key, Any]] = {}
        """so that a step asks no file for its digest"""
        self.refused: set[Part] = set()
        """parts for which there was no room, since others last went"""
        self.gone: set[Key] = set()
        """parts that went so that there is room for others"""

    def __call__(self, part: Part) -> Any:
        """The loaded part. Raises StaleWeights if it isn't the one that was planned with, NoRoom if it doesn't fit."""
        if (known := self.opened.get(id(part))) and known[0] is part:
            return known[2]
        size = self.sizes.get(part, 0)
        if part in self.refused:
            raise no_room(part, part.device or self.device, size)
        for each in part.whole():
            if each.away:
                loader_of(each).fetch(each)
        digest = self.compared(part, self.digests.get(part))
        key = self.key(part, digest)
        held = key in self.pool.held
        try:
            module = self.pool.get(part, key, size)
        except NoRoom:
            self.refused.add(part)
            raise
        if not held:
            try:
                self.compared(part, digest)
            except StaleWeights:  # what was loaded may be the other weights
                self.pool.drop([key])
                raise
        self.opened[id(part)] = part, key, module
        return module

    def compared(self, part: Part, planned: str | None) -> str:
        """The part's digest. Raises StaleWeights if it isn't the one that was planned with."""
        digest = part.digest(self.file_digest)
        if planned not in (None, digest):
            raise StaleWeights(
                f"the weights in {part.folder} changed after the run was planned", hint="start the run again"
            )
        return digest

    def key(self, part: Part, digest: str) -> Key:
        """The part's key in the pool."""
        return digest, part.device or self.device, part.offload

    def make_room(self, used: Collection[Part], again: bool) -> bool:
        """Let all parts go except those that are used. Returns whether any went.

        again: also parts that went before in this task and came back.
        """
        mine = {self.key(part, self.digests.get(part) or part.digest(self.file_digest)) for part in used}
        heavy = self.pool.heavy().union(key for _, key, module in self.opened.values() if size_of(module))
        going = heavy - mine if again else heavy - mine - self.gone
        if not going:
            return False
        self.gone |= going
        self.refused.clear()
        self.opened = {n: known for n, known in self.opened.items() if known[1] not in going}
        self.pool.drop(going)
        return True


def loaded(part: Part, device: str, size: int) -> Any:
    """A part with its weights. Raises NoRoom; outside of the handler, which would keep what was loaded by then."""
    try:
        return loader_of(part).load(part, device)
    except Exception as error:
        if not ran_out(error):
            raise
    raise no_room(part, device, size)
