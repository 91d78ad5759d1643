"""Values that Python code gives, as a file would hold them: numbers, texts, true and false, lists and mappings."""

from __future__ import annotations

import os
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, Set, ValuesView
from itertools import islice
from typing import Any

import numpy as np

from flowgen.errors import UserError, with_article
from flowgen.language.axes import MAX_POINTS

PLAIN = frozenset({bool, int, float, str, type(None)})
POSSIBLE = "values are numbers, texts, true and false, and lists, arrays and mappings of these"
"""a hint"""


def unwrapped(value: Any, name: str) -> Any:
    """A value with what Python's libraries have for numbers, texts, lists and mappings as Python's own.

    What has an order is listed in it, a set in that of its values. Raises UserError for any other kind, at ``name``.
    """
    if type(value) in PLAIN or (isinstance(value, str) and not isinstance(value, np.generic)):
        return value
    if isinstance(value, Mapping):
        return {key: unwrapped(part, f"{name}[{key!r}]") for key, part in value.items()}
    if isinstance(value, range) and len(value) <= MAX_POINTS:
        return list(value)
    if isinstance(value, (float, np.floating)):
        return float(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, os.PathLike):
        return unwrapped(os.fspath(value), name)
    if callable(getattr(value, "tolist", None)):  # arrays, tensors, Series
        return unwrapped(value.tolist(), name)
    if isinstance(value, (bytes, bytearray)):
        raise refusal(value, name)
    if isinstance(value, (Sequence, KeysView, ValuesView, ItemsView, Iterator)):
        return listed(value, name)
    if isinstance(value, Set):
        return in_order(value, name)
    if hasattr(value, "__array__"):
        return unwrapped(np.asarray(value), name)
    raise refusal(value, name)


def listed(values: Iterable[Any], name: str) -> list[Any]:
    """Values in their order. Raises UserError for more than an axis may have, or than end."""
    found = list(islice(values, MAX_POINTS + 1))
    if len(found) > MAX_POINTS:
        raise UserError(f"{name} has more than {MAX_POINTS} values")
    return [part if type(part) in PLAIN else unwrapped(part, f"{name}[{n}]") for n, part in enumerate(found)]


def in_order(values: Iterable[Any], name: str) -> list[Any]:
    """The values of a set, numbers before texts."""
    try:
        return sorted(listed(values, name), key=lambda value: (isinstance(value, str), value))
    except TypeError:
        raise UserError(f"{name} is a set, whose values have no order", hint="list them in one") from None


def refusal(value: Any, name: str) -> UserError:
    """What to say of a value of a kind that no file could hold."""
    kind = with_article(type(value).__name__)
    number = f"; float(...) makes a number of {kind}" if hasattr(value, "__float__") else ""
    return UserError(f"{name} can't be {kind}", hint=f"{POSSIBLE}{number}")
