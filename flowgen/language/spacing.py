"""Numbers between two ends: each the float that is nearest to what the ends' decimal digits say."""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction
from itertools import accumulate, repeat

EXACT = Context(prec=60)
"""digits enough for ten million steps, each rounded, between any two floats"""


def linear(first: float, last: float, count: int) -> list[float]:
    """``count`` numbers at equal distances, ends included."""
    low, high = Fraction(str(first)), Fraction(str(last))
    unit = low.denominator * high.denominator
    start, end = int(low * unit), int(high * unit)
    whole = unit * (count - 1)
    return [
        (start * (count - 1) + (end - start) * n) / whole for n in range(count)
    ]  # of whole numbers, so rounded once


def geometric(first: float, last: float, count: int) -> list[float]:
    """``count`` numbers above 0, each the same multiple of the one before, ends included."""
    low, high = Decimal(str(first)), Decimal(str(last))
    ratio = EXACT.power(EXACT.divide(high, low), EXACT.divide(Decimal(1), Decimal(count - 1)))
    between = list(accumulate(repeat(ratio, count - 2), EXACT.multiply, initial=low))[1:]
    return [float(first), *map(float, between), float(last)]
