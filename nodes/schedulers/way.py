"""One item's way through its noise levels, and what the clock shows on it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from flowgen.values.time import columns_of

from .schedule import Array


class Way(Protocol):
    """One item's denoiser calls, from its first to the end of the schedule: x = alpha * x0 + sigma * epsilon."""

    @property
    def times(self) -> NDArray[Any]:
        """[n], the model's own time at each call"""

    @property
    def alpha(self) -> Array:
        """[n] or more, at each call"""

    @property
    def sigma(self) -> Array:
        """[n] or more"""

    @property
    def start(self) -> float:
        """what the start noise is multiplied by to be the first x"""


@lru_cache(maxsize=1024)
def clock(way: Way) -> Array:
    """Time's columns, [26, n + 1], at each call of a way and at its end, where x is clean."""
    count = len(way.times)
    calls = np.arange(count + 1)
    times, sigma, alpha = way.times, way.sigma[:count], way.alpha[:count]
    ends = np.append(times, 0.0), np.append(sigma, 0), np.append(alpha, 1)
    with np.errstate(divide="ignore"):
        return np.stack(columns_of(1.0 * calls, *ends, calls / count))
