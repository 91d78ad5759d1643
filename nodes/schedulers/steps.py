"""Steps that several samplers are made of. x and x0 are vectors (see table.py), k is the number of the step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .grid import Grid
from .schedule import Array

QUADRATURE = np.polynomial.legendre.leggauss(16)


def toward(grid: Grid, k: int, x: Array, x0: Array) -> Array:
    """The first-order step, exact where x0 stays as predicted; the same for DDIM, Euler and DPM-Solver++.

    Song et al. 2021, arXiv:2010.02502, eq. 12 with sigma 0.
    """
    rest = grid.sigma[k + 1] / grid.sigma[k]
    return np.asarray(rest * x + (grid.alpha[k + 1] - grid.alpha[k] * rest) * x0)


def epsilon(grid: Grid, k: int, x: Array, x0: Array) -> Array:
    """The noise in x if x0 is what lies under it."""
    return np.asarray((x - grid.alpha[k] * x0) / grid.sigma[k])


def slope(grid: Grid, k: int, x: Array, x0: Array, step: int) -> Array:
    """dx / dsigma at the place ``k`` of the grid; alpha is linear in sigma within the step ``step``.

    It is epsilon where alpha is constant (Karras et al. 2022, eq. 4), epsilon - x0 in flow matching.
    """
    rise = (grid.alpha[step + 1] - grid.alpha[step]) / (grid.sigma[step + 1] - grid.sigma[step])
    return np.asarray(epsilon(grid, k, x, x0) + rise * x0)


def ancestral(grid: Grid, k: int, x: Array, x0: Array) -> Array:
    """The mean of the first-order step that takes out all that is known of the noise, and puts new noise in.

    Song et al. 2021, arXiv:2010.02502, eq. 12 with eta 1; ``fresh`` is the deviation of the noise that goes with it.
    """
    rest = grid.ratio[k + 1] / grid.ratio[k]
    return np.asarray(grid.sigma[k + 1] / grid.sigma[k] * rest * x + grid.alpha[k + 1] * (1 - rest**2) * x0)


def fresh(grid: Grid) -> Array:
    """The deviations of the noise of ``ancestral`` steps, [S]."""
    ratio = grid.ratio
    return np.asarray(grid.sigma[1:] * np.sqrt(1 - (ratio[1:] / ratio[:-1]) ** 2))


def area(places: Array, n: int, end: float, weight: Callable[[Array], Array] = np.ones_like) -> float:
    """The integral from ``places[0]`` to ``end`` of the polynomial that is 1 at ``places[n]`` and 0 at the others,
    times ``weight``; by Gauss's rule, since antiderivatives cancel where steps are small."""
    nodes, shares = QUADRATURE
    half = (end - places[0]) / 2
    at = places[0] + half * (1 + nodes)
    others = np.delete(places, n)
    value = np.prod((at[:, None] - others) / (places[n] - others), axis=1)
    return float(half * np.sum(shares * value * weight(at)))
