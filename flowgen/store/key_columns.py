"""The functions of ``keys`` for whole columns: a million keys in seconds, each equal to the one made alone.

Keys have one length, so the texts that are hashed for a column differ only at fixed places: they are laid out as rows
of bytes, and what all rows begin with is hashed once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgen.store import keys

DTYPE = f"S{keys.LENGTH}"
ROWS = 1 << 16
"""rows that are laid out at once"""

Bytes = NDArray[np.bytes_]


@dataclass(frozen=True, slots=True)
class Texts:
    """A field of a column that is one of several texts."""

    texts: Sequence[str]
    codes: NDArray[np.int64]
    """by row, which of them"""


Field = str | Texts | Bytes
"""a text for all rows, texts, or keys"""


def digests(tag: str, fields: Sequence[Field], count: int) -> Bytes:
    """``keys.digest(tag, *fields)`` of each of ``count`` rows. At most one field is ``Texts``."""
    start = next((n for n, f in enumerate(fields) if not isinstance(f, str)), len(fields))
    head = f"flowgen {keys.FORMAT} {tag}" + "".join(map(said, [f for f in fields[:start] if isinstance(f, str)]))
    base = hashlib.blake2b(head.encode(), digest_size=keys.LENGTH // 2)
    varying = fields[start:]
    split = next((n for n, f in enumerate(varying) if isinstance(f, Texts)), None)
    made = np.empty(count, dtype=DTYPE)
    if split is None:
        for begin, end in parts(count):
            made[begin:end] = hashed(base, rows(varying, begin, end))
        return made
    chosen = varying[split]
    assert isinstance(chosen, Texts)
    pieces = [said(text).encode() for text in chosen.texts]
    for begin, end in parts(count):
        texts = [pieces[code] for code in chosen.codes[begin:end].tolist()]
        before, after = rows(varying[:split], begin, end), rows(varying[split + 1 :], begin, end)
        made[begin:end] = hashed(base, [a + t + b for a, t, b in zip(before, texts, after, strict=True)])
    return made


def said(field: str) -> str:
    """A field as ``keys.digest`` hashes it."""
    return f"\0{len(field)}\0{field}"


def parts(count: int) -> list[tuple[int, int]]:
    """0..count in pieces, for bounded memory."""
    return [(start, min(start + ROWS, count)) for start in range(0, count, ROWS)]


def rows(fields: Sequence[Field], begin: int, end: int) -> list[bytes]:
    """The texts of some rows: constant fields, and keys at their places."""
    pieces: list[NDArray[np.uint8]] = []
    for field in fields:
        if isinstance(field, str):
            pieces.append(constant(said(field), end - begin))
        elif not isinstance(field, Texts):
            keyed = np.ascontiguousarray(field[begin:end], dtype=DTYPE)
            pieces += [constant(f"\0{keys.LENGTH}\0", end - begin), keyed.view(np.uint8).reshape(-1, keys.LENGTH)]
    if not pieces:
        return [b""] * (end - begin)
    table = np.concatenate(pieces, axis=1)
    whole, width = table.tobytes(), table.shape[1]
    return [whole[n : n + width] for n in range(0, len(whole), width)]


def constant(text: str, count: int) -> NDArray[np.uint8]:
    """The same bytes in every row."""
    held = np.frombuffer(text.encode(), dtype=np.uint8)
    return np.broadcast_to(held, (count, len(held)))


def hashed(base: Any, texts: Sequence[bytes]) -> Bytes:
    """The hexadecimal hashes of texts that go on where ``base`` ended."""
    found = bytearray()
    for text in texts:
        mine = base.copy()
        mine.update(text)
        found += mine.digest()
    return np.frombuffer(found.hex().encode(), dtype=DTYPE)


def item_keys(head: str, params: str | Texts, ports: Sequence[tuple[str, Sequence[Bytes]]], count: int) -> Bytes:
    """``keys.item_key`` of each row: ``ports`` are (name, the columns of keys wired to it), by name."""
    fields: list[Field] = [head, params]
    for name, columns in ports:
        fields += [name, str(len(columns)), *columns]
    return digests("item", fields, count)


def pooled(column: Bytes) -> str:
    """``keys.pooled`` of a column."""
    mine = hashlib.blake2b(f"flowgen {keys.FORMAT} pooled".encode(), digest_size=keys.LENGTH // 2)
    ordered = np.sort(column)
    for begin, end in parts(len(ordered)):
        mine.update(b"".join(rows([ordered], begin, end)))
    return mine.hexdigest()


@dataclass(frozen=True, slots=True)
class Distinct:
    """The distinct keys of a column."""

    first: NDArray[np.int64]
    """by item, the first row that holds it; items stand in the order of their first rows"""
    item: NDArray[np.int64]
    """by row, which item it holds"""

    def __len__(self) -> int:
        return len(self.first)


def distinct(column: Bytes) -> Distinct:
    """The distinct keys of a flat column, in the order in which they occur."""
    words = np.ascontiguousarray(column, dtype=DTYPE).view(np.uint64).reshape(len(column), -1)
    short = words[:, 0] * np.uint64(0x9E3779B97F4A7C15) + words[:, 1]
    _, first, item = np.unique(short, return_index=True, return_inverse=True)
    if (column[first][item] != column).any():  # two keys with one short form: compare them whole
        _, first, item = np.unique(column, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return Distinct(first[order], rank[item])
