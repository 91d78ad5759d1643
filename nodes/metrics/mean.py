"""The node ``mean``."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from flowgen.node import Reduce, Stream, node
from flowgen.values import Record, Score


@dataclass(frozen=True)
class Total(Record):
    """A sum of scores."""

    sum: Tensor
    """[B] float64"""
    count: Tensor
    """[B] int64"""
    name: str


@node("mean")
class Mean(Reduce):
    """The mean of scores over axes, summed in float64."""

    of: Stream[Score]

    def add(self, batch: Score) -> Total:
        """The sum of some scores."""
        return Total(batch.data.double().cpu().sum()[None], torch.tensor([len(batch.data)]), batch.name)

    def merge(self, first: Total, second: Total) -> Total:
        """The sum of two sets."""
        return Total(first.sum + second.sum, first.count + second.count, first.name)

    def finish(self, state: Total) -> Score:
        """Sum over count."""
        return Score(state.sum / state.count, state.count, state.name)
