"""Stored states of loops: written when items come by, read to start from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from flowgen.errors import UserError
from flowgen.graph.trajectory import OUTPUT
from flowgen.plan.checkpoints import Resume
from flowgen.store.zarr_format import unstorable
from flowgen.values import Carried, Record

if TYPE_CHECKING:
    from flowgen.execute.stage import Reader

Publish = Callable[[list[str], dict[str, Record]], None]
Place = tuple[str, str]
"""node and argument of a carry"""
STATE = "state"


class States:
    """The states of one loop node, in the store."""

    def __init__(self, reader: Reader, publish: Publish, carries: Sequence[Place], device: str) -> None:
        self.reader = reader
        self.publish = publish
        self.names = {place: f"carry_{n}" for n, place in enumerate(carries)}
        self.device = device
        self.written: set[str] = set()

    def write(self, keys: list[str], state: Record, shown: Record, carried: Mapping[Place, Tensor]) -> None:
        """Store a batch of states: all that the loop needs to go on, and what a trajectory shows of it.

        Raises UserError where they hold what can't be stored.
        """
        outputs = {STATE: state, OUTPUT: shown}
        outputs |= {self.names[place]: Carried(tensor) for place, tensor in carried.items()}
        if said := unstorable(outputs):
            raise UserError(said)
        good = [n for n in range(len(keys)) if all(finite(value, n) for value in outputs.values())]
        self.written.update(keys)
        if good:
            kept = {name: value.take(good).to("cpu") for name, value in outputs.items()}
            self.publish([keys[n] for n in good], kept)

    def read(self, starts: Sequence[Resume]) -> tuple[Record, dict[Place, Tensor]]:
        """The states to start from as one batch, and what was carried; zeros where an item carries nothing yet."""
        keys = [start.key for start in starts]
        groups = self.reader.read(keys, STATE)
        record = type(groups[0][1]).concat([group for _, group in groups])
        order = [position for positions, _ in groups for position in positions]
        rows = sorted(range(len(order)), key=order.__getitem__)
        return record.take(rows).to(self.device), self.carried(keys)

    def carried(self, keys: Sequence[str]) -> dict[Place, Tensor]:
        """What the body's nodes carried in these states."""
        found: dict[Place, Tensor] = {}
        for place, name in self.names.items():
            parts: list[Tensor | None] = []
            for key in keys:
                try:
                    parts.append(self.reader.read([key], name)[0][1].tensors()["data"])
                except KeyError:  # the node wasn't evaluated up to there
                    parts.append(None)
            like = next((part for part in parts if part is not None), None)
            if like is not None:
                filled = [torch.zeros_like(like) if part is None else part for part in parts]
                found[place] = torch.cat(filled).to(self.device)
        return found


def finite(value: Record, row: int) -> bool:
    """Whether an item holds neither NaN nor infinity."""
    return all(bool(t[row].isfinite().all()) for t in value.tensors().values() if t.is_floating_point())
