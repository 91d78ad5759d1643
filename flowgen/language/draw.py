"""Samples of an axis, and choosing some of its points: ``draw`` in a graph, ``--where`` on the command line."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgen.errors import UserError, did_you_mean
from flowgen.language.axes import MAX_POINTS, Axis, Context, made, whole
from flowgen.language.expressions import plain
from flowgen.language.labels import digits
from flowgen.language.tree import INT, MAX_DIGITS, scalar

SPAN = re.compile(r"\s*([-+]?[0-9]{1,300})\.\.([-+]?[0-9]{1,300})\s*")
SHOWN = 8
"""labels in a hint"""
BATCH = 65536


def drawn(spec: dict[str, Any], context: Context) -> Axis:
    """``{draw: AXIS, n: 100, seed: 0, replace: false}``: a sample; a smaller n gives the beginning of a larger one."""
    count, seed, again = whole(spec, "n", context), spec.get("seed", 0), spec.get("replace", False)
    if count is None:
        raise UserError(f"the axis '{context.name}': 'draw' needs 'n', how many points")
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise UserError(f"the axis '{context.name}': 'seed' is a whole number, not {seed!r}")
    if not isinstance(again, bool):
        raise UserError(f"the axis '{context.name}': 'replace' is true or false, not {again!r}")
    axis = made(spec["draw"], context)
    if not again:
        if count > len(axis):
            hint = "replace: true draws a point more than once"
            raise UserError(f"the axis '{context.name}': {count} of {len(axis)} points can't be drawn", hint=hint)
        order = np.argsort(hashes(seed, len(axis)), kind="stable")
        return axis.take(order[:count].tolist())
    if count > MAX_POINTS:
        raise UserError(f"the axis '{context.name}' would have more than {MAX_POINTS} points")
    return with_repeats(axis, (hashes(seed, count) % np.uint64(len(axis))).tolist())


def with_repeats(axis: Axis, chosen: Sequence[int]) -> Axis:
    """The points that were drawn of an axis, each with how often it was drawn before."""
    drawn = axis.take(chosen, unique([axis.labels[n] for n in chosen]))
    counts: dict[int, int] = {}
    repeats = []
    for n in chosen:
        before = counts.get(n, 0)
        repeats.append(before * len(axis) + axis.repeats[n] if axis.repeats else before)
        counts[n] = before + 1
    return replace(drawn, repeats=tuple(repeats) if any(repeats) else ())


def hashes(seed: int, count: int) -> NDArray[np.uint64]:
    """The first 8 bytes, big endian, of SHA-256 of the text ``SEED:N`` for N from 0. This defines samples for ever."""
    parts = []
    for start in range(0, count, BATCH):
        numbers = range(start, min(count, start + BATCH))
        parts.append(b"".join([hashlib.sha256(b"%d:%d" % (seed, n)).digest()[:8] for n in numbers]))
    return np.frombuffer(b"".join(parts), dtype=">u8").astype(np.uint64)


def unique(labels: Sequence[Any]) -> tuple[Any, ...]:
    """Labels with ``#2``, ``#3``, ... at those that stood before."""
    counts: dict[Any, int] = {}
    result: dict[Any, None] = {}
    for label in labels:
        name = label
        while name in result:
            counts[label] = counts.get(label, 1) + 1
            name = f"{plain(label)} #{counts[label]}"
        result[name] = None
    return tuple(result)


def restricted(axes: dict[str, Axis], where: Mapping[str, Any]) -> dict[str, Axis]:
    """The axes, shortened to the points that ``where`` names. Raises UserError."""
    result = dict(axes)
    for name, wanted in where.items():
        if name not in axes:
            raise UserError(f"--where: there is no axis '{name}'", hint=did_you_mean(name, axes))
        listed = wanted if isinstance(wanted, Iterable) and not isinstance(wanted, (str, Mapping)) else [wanted]
        chosen: set[int] = set()
        for selector in listed:
            chosen.update(matches(axes[name], selector))
        if not chosen:
            raise UserError(f"--where: no point of the axis '{name}' is left")
        result[name] = axes[name].take(sorted(chosen))
    return result


def matches(axis: Axis, selector: Any) -> set[int]:
    """The points that a selector names: a label, ``a|b``, whole numbers ``0..7``. Raises UserError if none."""
    if found := labelled(axis, selector):
        return found
    if isinstance(selector, str):
        if "|" in selector:
            return {n for part in selector.split("|") for n in matches(axis, part.strip())}
        if span := SPAN.fullmatch(selector):
            low, high = int(span[1]), int(span[2])
            found = {n for n, label in enumerate(axis.labels) if low <= number_of(label) <= high}
            if found:
                return found
    if isinstance(selector, str) and "," in selector:
        hint = f"several points are written {axis.name}='{selector.replace(',', '|')}'"
        raise UserError(f"--where: the axis '{axis.name}' has no point '{selector}'", hint=hint)
    raise UserError(f"--where: the axis '{axis.name}' has no point '{plain(selector)}'", hint=nearest(axis, selector))


def labelled(axis: Axis, selector: Any) -> set[int]:
    """The points whose label reads as the selector does, or is the same number, or is it to the digits of results."""
    text = plain(selector)
    if exact := {n for n, label in enumerate(axis.labels) if plain(label) == text}:
        return exact
    number = scalar(text) if len(text) <= MAX_DIGITS else text
    if isinstance(number, (bool, str)) or number is None:
        return set()
    floats = [(n, label) for n, label in enumerate(axis.labels) if type(label) in (int, float)]
    equal = {n for n, label in floats if label == number}
    shown = digits(label for _, label in floats)
    return equal or {n for n, label in floats if isinstance(label, float) and f"{label:.{shown}g}" == text}


def place(axis: Axis, label: Any) -> int | None:
    """The one point that a label names, read as ``--where`` reads it; None where none or several do."""
    found = labelled(axis, label)
    return found.pop() if len(found) == 1 else None


def number_of(label: Any) -> float:
    """A label that is or spells a whole number; nothing is between two numbers and NaN."""
    if isinstance(label, str):
        decimal = len(label) <= MAX_DIGITS and INT.fullmatch(label) and label[:2] not in ("0x", "0o")
        return int(label) if decimal else math.nan
    return label if isinstance(label, (int, float)) and not isinstance(label, bool) and label % 1 == 0 else math.nan


def nearest(axis: Axis, selector: Any) -> str:
    """A hint: the nearest label, or the first ones."""
    texts = [plain(label) for label in axis.labels[:1000]]
    hint = did_you_mean(plain(selector)[:200], texts)
    if hint.startswith("did you mean"):
        return hint
    if len(axis) <= SHOWN:
        return f"known: {', '.join(texts)}"
    return f"it has {len(axis)}: {', '.join(texts[:SHOWN])}, ..."
