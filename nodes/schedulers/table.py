"""Samplers as linear maps: what a sampler does at each denoiser call is a table of numbers.

Every sampler here makes the next x of the present x, of what the denoiser said, of a few tensors that it kept, and of
noise, by a sum with coefficients that depend on the step alone. A sampler's equations are written once, as a function
of vectors; run on unit vectors, it gives the coefficients. So items at different steps of different
schedules, with different orders, share a batch: a row of numbers each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flowgen.values.per_item import over_items

from .grid import Grid
from .schedule import Array

Step = Callable[[int, Array, Array, list[Array]], tuple[Array, list[Array]]]
"""From the number of the call, x, the predicted x0 and what was kept: the next x, and what is kept next. Vectors."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A sampler's way for one item; one entry per denoiser call. Compared by identity, as a Grid."""

    times: Array
    """[n], the model's own time"""
    alpha: Array
    """[n + 1], of x at each call and at the end"""
    sigma: Array
    """[n + 1]"""
    maps: Array
    """[n, 1 + M, 2 + M]; rows: the next x, what is kept next; columns: x, the predicted x0, what was kept"""
    noise: Array
    """[n], what fresh noise is multiplied by; 0 draws none"""
    start: float
    """what the start noise is multiplied by"""

    def __len__(self) -> int:
        return len(self.times)


@lru_cache(maxsize=1024)
def coefficients(table: Table) -> Array:
    """A table's maps, row by row, and last its noise, [F, n]: see ``ByStep``."""
    return np.vstack([table.maps.reshape(len(table), -1).T, table.noise])


def tabulate(
    grid: Grid, step: Step, kept: int = 0, noise: Array | None = None, calls: NDArray[np.intp] | None = None
) -> Table:
    """The table of a sampler over a grid.

    ``kept``: how many tensors it keeps. ``calls``: for each call the place in the grid at which it is made, where
    that isn't once at the beginning of each step.
    """
    places = np.arange(len(grid)) if calls is None else calls
    ends = np.append(places, len(grid))
    silent = np.zeros(len(places)) if noise is None else noise
    maps = evaluated(step, len(places), kept)
    return Table(grid.times[places], grid.alpha[ends], grid.sigma[ends], maps, silent, grid.start)


def evaluated(step: Step, calls: int, kept: int) -> Array:
    """The coefficients of ``step`` at each call, [n, 1 + kept, 2 + kept]."""
    x, x0, *before = np.eye(2 + kept)
    with np.errstate(divide="raise", invalid="raise"):
        made = [step(k, x, x0, before) for k in range(calls)]
    return np.array([[after, *keeping] for after, keeping in made])


def mapped(columns: Array, terms: list[Tensor]) -> Tensor:
    """Sums of the items of ``terms``, each [B, ...], with the coefficients ``columns`` [terms, B]. A term that no item
    has a use for is not read."""
    total: Tensor | None = None
    for column, term in zip(columns, terms, strict=True):
        if not column.any():
            continue
        part = term if (column == 1).all() else over_items(torch.from_numpy(column), term) * term
        total = part if total is None else total + part
    return torch.zeros_like(terms[0]) if total is None else total
