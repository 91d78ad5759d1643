"""Where in the diffusion an item is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from flowgen.errors import WiringError
from flowgen.values.ahead import Ahead
from flowgen.values.record import Record

KINDS = ("epsilon", "v_prediction", "sample", "flow", "edm")
"""What a denoiser can predict, in diffusers' words; edm is F of Karras et al. 2022, eq. 7, which is -v."""

N = TypeVar("N", Tensor, NDArray[Any])
PUBLIC = ("index", "timestep", "sigma", "alpha", "fraction")
UNIT = len(PUBLIC)
"""the column that brings x to unit variance"""


class Time(Record):
    """Where in the diffusion an item is: ``x = alpha * x0 + sigma * epsilon`` (Kingma et al. 2021, eq. 1).

    index: [B] int64, step of the loop

    timestep: [B] int64 or float32, the model's own time

    sigma, alpha: [B] float64, coefficients of noise and signal

    fraction: [B] float64, index / number of steps

    These, and what they say of each kind of prediction, are columns of one tensor, which a loop looks up ahead.
    """

    ahead: Ahead
    """the columns of ``columns_of``, at this step and some later ones"""
    n: int
    """which of its steps it is"""
    whole: bool
    """whether timesteps are whole numbers"""

    def __init__(self, index: Tensor, timestep: Tensor, sigma: Tensor, alpha: Tensor, fraction: Tensor) -> None:
        given = [number.double() for number in (index, timestep, sigma, alpha, fraction)]
        numbers = torch.stack(columns_of(*given), 1)
        self.ahead, self.n, self.whole = Ahead(numbers[None]), 0, not timestep.is_floating_point()

    @classmethod
    def of(cls, ahead: Ahead, n: int, whole: bool) -> Self:
        """From all the columns."""
        made = object.__new__(cls)
        made.ahead, made.n, made.whole = ahead, n, whole
        return made

    @property
    def numbers(self) -> Tensor:
        """All the columns, [B, 26]."""
        return self.ahead.rows()[self.n]

    @property
    def index(self) -> Tensor:
        """The step of the loop."""
        return self.ahead.column(0, torch.long)[self.n]

    @property
    def timestep(self) -> Tensor:
        """The model's own time."""
        return self.ahead.column(1, torch.long if self.whole else torch.float32)[self.n]

    @property
    def sigma(self) -> Tensor:
        """The noise coefficient."""
        return self.ahead.column(2, torch.float64)[self.n]

    @property
    def alpha(self) -> Tensor:
        """The signal coefficient."""
        return self.ahead.column(3, torch.float64)[self.n]

    @property
    def fraction(self) -> Tensor:
        """The part of the steps that is behind it."""
        return self.ahead.column(4, torch.float64)[self.n]

    def unit(self, x: Tensor) -> Tensor:
        """What x is multiplied by to have unit variance, in its dtype and on its device, shaped [B, 1, ...]."""
        return self.ahead.scales(UNIT, UNIT + 1, x)[self.n][0]

    def clean(self, kind: str, x: Tensor) -> tuple[Tensor, ...]:
        """What x and a prediction of this kind are multiplied by to sum to x0, as ``unit``."""
        first = place(kind)
        return self.ahead.scales(first, first + 2, x)[self.n]

    def noise(self, kind: str, x: Tensor) -> tuple[Tensor, ...]:
        """What x and a prediction of this kind are multiplied by to sum to epsilon, as ``unit``."""
        first = place(kind) + 2
        return self.ahead.scales(first, first + 2, x)[self.n]

    def take(self, rows: Sequence[int] | Tensor) -> Self:
        """The items at these rows, in this order."""
        chosen = rows.tolist() if isinstance(rows, Tensor) else rows
        return self.of(self.ahead.take(tuple(chosen)), self.n, self.whole)

    @classmethod
    def concat(cls, records: Sequence[Self]) -> Self:
        """One batch of several."""
        first, *others = records
        if not others or len({(each.n, each.ahead.numbers.shape[0], each.whole) for each in records}) > 1:
            return super().concat(records)
        return cls.of(first.ahead.beside([other.ahead for other in others]), first.n, first.whole)

    def level(self) -> Tensor:
        """sigma / alpha, [B] float64."""
        return self.sigma / self.alpha

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed. Raises TypeError for a field that there isn't."""
        if unknown := changes.keys() - set(PUBLIC):
            raise TypeError(f"Time has no field '{min(unknown)}'")
        return type(self)(**{**self.tensors(), **changes})

    def tensors(self) -> dict[str, Tensor]:
        """Its fields, as they are stored and labelled."""
        return {name: getattr(self, name) for name in PUBLIC}

    def metadata(self) -> dict[str, Any]:
        """There is none."""
        return {}

    def _fields(self) -> Iterable[tuple[str, Any]]:
        return ("numbers", self.numbers), ("whole", self.whole)

    def _changed(self, changes: Mapping[str, Any]) -> Self:
        return self.of(Ahead(changes.get("numbers", self.numbers)[None]), 0, changes.get("whole", self.whole))

    @classmethod
    def names(cls) -> Sequence[str]:
        """Its fields."""
        return PUBLIC


def columns_of(index: N, timestep: N, sigma: N, alpha: N, fraction: N) -> list[N]:
    """The numbers that the arguments say, in float64 and of one shape, as arrays or tensors: themselves, the factor
    that brings x to unit variance, and for each of KINDS the factors of x and the prediction that sum to x0, and those
    that sum to epsilon.

    v is defined for x of unit variance (Salimans & Ho 2022, arXiv:2202.00512), flow is epsilon - x0.
    """
    unit, total, none = (alpha**2 + sigma**2) ** -0.5, alpha + sigma, 0 * alpha
    weights: dict[str, tuple[N, N, N, N]] = {
        "epsilon": (1 / alpha, -sigma / alpha, none, none + 1),
        "v_prediction": (alpha * unit**2, -sigma * unit, sigma * unit**2, alpha * unit),
        "sample": (none, none + 1, 1 / sigma, -alpha / sigma),
        "flow": (1 / total, -sigma / total, 1 / total, alpha / total),
        "edm": (alpha * unit**2, sigma * unit, sigma * unit**2, -alpha * unit),
    }
    found = [index, timestep, sigma, alpha, fraction, unit]
    for kind in KINDS:
        found += weights[kind]
    return found


def place(kind: str) -> int:
    """The first column of a kind of prediction. Raises WiringError for one that there isn't."""
    if kind not in KINDS:
        raise WiringError(f"'{kind}' is no kind of prediction", hint=f"known: {', '.join(KINDS)}")
    return UNIT + 1 + 4 * KINDS.index(kind)
