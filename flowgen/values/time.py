"""Where in the diffusion an item is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from flowgen.errors import WiringError
from flowgen.values.per_item import over_items
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

    These, and what they say of each kind of prediction, are columns of one tensor: a loop puts batches together of
    several in every step.
    """

    numbers: Tensor
    """[B, 26] float64, the columns of ``columns_of``"""
    whole: bool
    """whether timesteps are whole numbers"""
    _scales: tuple[Any, Tensor] | None = None
    """what ``scale`` takes columns of, and what it is for"""

    def __init__(self, index: Tensor, timestep: Tensor, sigma: Tensor, alpha: Tensor, fraction: Tensor) -> None:
        given = [number.double() for number in (index, timestep, sigma, alpha, fraction)]
        self.numbers, self.whole = torch.stack(columns_of(*given), 1), not timestep.is_floating_point()

    @classmethod
    def of(cls, numbers: Tensor, whole: bool) -> Self:
        """From all the columns."""
        made = object.__new__(cls)
        made.numbers, made.whole = numbers, whole
        return made

    @property
    def index(self) -> Tensor:
        """The step of the loop."""
        return self.numbers.select(1, 0).long()

    @property
    def timestep(self) -> Tensor:
        """The model's own time."""
        found = self.numbers.select(1, 1)
        return found.long() if self.whole else found.float()

    @property
    def sigma(self) -> Tensor:
        """The noise coefficient."""
        return self.numbers.select(1, 2)

    @property
    def alpha(self) -> Tensor:
        """The signal coefficient."""
        return self.numbers.select(1, 3)

    @property
    def fraction(self) -> Tensor:
        """The part of the steps that is behind it."""
        return self.numbers.select(1, 4)

    def scale(self, column: int, x: Tensor) -> Tensor:
        """A column in the dtype and on the device of ``x`` [B, ...], shaped [B, 1, ...] to scale its items."""
        known = self._scales
        if known is None or known[0] != kind_of(x):
            self._scales = known = kind_of(x), over_items(self.numbers, x)
        return known[1].select(1, column)

    def scaled(self, scales: Tensor, x: Tensor) -> Self:
        """Itself, which knows what ``scale`` takes its columns of: [B, 26, 1, ...], like ``x`` [B, ...]."""
        self._scales = kind_of(x), scales
        return self

    @classmethod
    def concat(cls, records: Sequence[Self]) -> Self:
        """One batch of several."""
        made, known = super().concat(records), [each._scales for each in records if each._scales]
        if made is not records[0] and len(known) == len(records) and all(kind == known[0][0] for kind, _ in known):
            made._scales = known[0][0], torch.cat([scales for _, scales in known])
        return made

    def unit(self, x: Tensor) -> Tensor:
        """What x is multiplied by to have unit variance, as ``scale``."""
        return self.scale(UNIT, x)

    def clean(self, kind: str, x: Tensor) -> tuple[Tensor, Tensor]:
        """What x and a prediction of this kind are multiplied by to sum to x0, as ``scale``."""
        first = place(kind)
        return self.scale(first, x), self.scale(first + 1, x)

    def noise(self, kind: str, x: Tensor) -> tuple[Tensor, Tensor]:
        """What x and a prediction of this kind are multiplied by to sum to epsilon, as ``scale``."""
        first = place(kind) + 2
        return self.scale(first, x), self.scale(first + 1, x)

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
        return self.of(changes.get("numbers", self.numbers), changes.get("whole", self.whole))

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


def kind_of(x: Tensor) -> Any:
    """What decides the dtype, device and shape of what scales x."""
    return type(x), x.dtype, x.device, x.dim()


def place(kind: str) -> int:
    """The first column of a kind of prediction. Raises WiringError for one that there isn't."""
    if kind not in KINDS:
        raise WiringError(f"'{kind}' is no kind of prediction", hint=f"known: {', '.join(KINDS)}")
    return UNIT + 1 + 4 * KINDS.index(kind)
