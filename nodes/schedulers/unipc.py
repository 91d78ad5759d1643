"""The node ``scheduler.unipc``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np

from flowgen.errors import WiringError
from flowgen.node import node

from .grid import Grid, Habits
from .schedule import Array
from .spaced import Spaced
from .steps import toward
from .table import Table, tabulate


def unified(
    grid: Grid, k: int, x: Array, said: Sequence[Array], order: int, variant: str, here: Array | None = None
) -> Array:
    """Step k of order ``order`` from x; eq. 3 and 8 of the paper for predictions of x0.

    ``said``: x0 as predicted at places k, k - 1, ... ``here``: at k + 1, which makes it the corrector.
    """
    after = toward(grid, k, x, said[0])
    if order == 1 and here is None:
        return after
    log_snr = grid.log_snr
    h = log_snr[k + 1] - log_snr[k]
    places = [(log_snr[k - n] - log_snr[k]) / h for n in range(1, order)]
    changes = [(said[n] - said[0]) / place for n, place in enumerate(places, start=1)]
    if here is not None:
        places, changes = [*places, 1.0], [*changes, here - said[0]]
    if len(places) == 1:
        weights = np.array([0.5])  # not the solution of the equations below, but of the same order (section 3.3)
    else:
        weights = np.linalg.solve(np.vander(places, increasing=True).T, moments(h, len(places), variant))
    scale = -h if variant == "bh1" else np.expm1(-h)
    return after - grid.alpha[k + 1] * scale * sum(w * change for w, change in zip(weights, changes, strict=True))


def moments(h: float, count: int, variant: str) -> Array:
    """n! phi_{n + 1}(-h) h^n / B(h) for n = 1 ... count, the right side of the order conditions; eq. 5."""
    scale = -h if variant == "bh1" else np.expm1(-h)
    found, phi, factorial = [], np.expm1(-h) / -h - 1, 1.0
    for n in range(1, count + 1):
        found.append(phi * factorial / scale)
        factorial *= n + 1
        phi = phi / -h - 1 / factorial
    return np.array(found)


@lru_cache(maxsize=1024)
def unipc_table(grid: Grid, order: int, variant: str, lower_final: bool, uncorrected: tuple[int, ...]) -> Table:
    """One call for each step: what it says corrects the step before, and predicts the next."""
    count = len(grid)
    final = lower_final or grid.sigma[-1] == 0
    each = [min(order, k + 1, count - k if final else order) for k in range(count)]

    def call(k: int, x: Array, x0: Array, kept: list[Array]) -> tuple[Array, list[Array]]:
        base, *said = kept
        if k > 0 and k - 1 not in uncorrected:
            x = unified(grid, k - 1, base, said, each[k - 1], variant, here=x0)
        said = [x0, *said][:order]
        return unified(grid, k, x, said, each[k], variant), [x, *said]

    return tabulate(grid, call, 1 + order)


@node("scheduler.unipc", version=2)
class UniPC(Spaced):
    """Unified predictor-corrector, multistep; Zhao et al. 2023, arXiv:2302.04867, algorithms 1 and 2.

    A step is one denoiser call: the corrector uses the call of the next step.
    order: of the predictor, "model" is the configuration's, or else 2. variant: B(h) of the paper.
    """

    order: Literal["model", 1, 2, 3] = "model"
    variant: Literal["model", "bh1", "bh2"] = "model"
    habits: ClassVar[Habits] = Habits(scaled=True, coarse=True, from_noise=True, ignores=("clip_sample",))

    def table(self, grid: Grid, row: int) -> Table:
        """The coefficients of an item."""
        if not self.about.get("predict_x0", True):
            raise WiringError("scheduler.unipc predicts x0, the model's scheduler asks for epsilon", about="model")
        order = self.about.get("solver_order", 2) if self.order == "model" else self.order
        variant = self.about.get("solver_type", "bh2") if self.variant == "model" else self.variant
        lower, uncorrected = self.about.get("lower_order_final", True), tuple(self.about.get("disable_corrector", ()))
        return unipc_table(grid, order, "bh1" if variant == "bh1" else "bh2", lower, uncorrected)
