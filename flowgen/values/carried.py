"""What a node in a loop's body carries from step to step, as a record that can be stored."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from flowgen.values.record import Record


@dataclass(frozen=True)
class Carried(Record):
    """One carried tensor."""

    data: Tensor
    """[B, ...]"""
