"""What an output's items say of themselves beside tensors: once for all, or by point where it differs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgen.language.strict_json import strict
from flowgen.results.labels import EXACT


class Metadata:
    """The metadata of an output's items, each kind of it once."""

    def __init__(self, shape: tuple[int, ...], first: Mapping[str, Any]) -> None:
        self.kinds: list[Mapping[str, Any]] = []
        self.numbers: dict[str, int] = {}
        self.at = np.full(shape, -1, dtype=np.int32)
        """the kind of each point, -1 where there is no result"""
        self.kind(first)

    def kind(self, metadata: Mapping[str, Any]) -> int:
        """The number of a kind, a new one if it wasn't there yet."""
        number = self.numbers.setdefault(repr(metadata), len(self.kinds))
        if number == len(self.kinds):
            self.kinds.append(metadata)
        return number

    def shared(self) -> dict[str, Any]:
        """What all items have in common."""
        first, *others = self.kinds
        return {k: v for k, v in first.items() if all(k in o and repr(o[k]) == repr(v) for o in others)}

    def differing(self) -> dict[str, NDArray[Any]]:
        """What differs, by name: its values at all points. Nested records' is left out."""
        shared, found = self.shared(), {}
        for name in dict.fromkeys(name for kind in self.kinds for name in kind if name not in shared):
            values = [kind.get(name) for kind in self.kinds]
            if not any(isinstance(value, Mapping) for value in values):
                found[name] = by_kind(values)[self.at]
        return found


def by_kind(values: Sequence[Any]) -> NDArray[Any]:
    """Values as floats [n + 1, ...] if all are numbers or tuples of equally many, else as texts; the last is blank."""
    rows = [value if isinstance(value, (tuple, list)) else [value] for value in values]
    alike = len({(len(row), isinstance(value, (tuple, list))) for row, value in zip(rows, values, strict=True)}) == 1
    if alike and all(is_float(number) for row in rows for number in row):
        numbers = np.array(values, dtype=np.float64)
        return np.concatenate([numbers, np.full((1, *numbers.shape[1:]), np.nan)])
    texts = [value if isinstance(value, str) else json.dumps(strict(value), ensure_ascii=False) for value in values]
    return np.array([*texts, ""], dtype=np.dtypes.StringDType())


def is_float(value: Any) -> bool:
    """Whether a value is a number that float64 holds exactly."""
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) <= EXACT)
