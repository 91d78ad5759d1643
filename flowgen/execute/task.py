"""What runs on a worker: one parcel in, its results published to the store, a receipt out."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from flowgen.execute.caller import Caller
from flowgen.execute.pool import Pool
from flowgen.execute.stage import compute
from flowgen.plan.numerics import Numerics
from flowgen.plan.program import Parcel, Program
from flowgen.store import Store
from flowgen.values.model import opening

_THREADS = threading.Lock()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task works."""

    store: str
    """path of the store"""
    device: str = "cpu"
    threads: int = 0
    """torch threads; 0 leaves them as they are"""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a task says of its work; never a tensor."""

    stage: str
    number: int
    items: int
    seconds: float
    blocks: list[str] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    """runs of each node type that uses a model"""
    rows: dict[str, int] = field(default_factory=dict)
    """items in those runs"""
    worker: int = 0
    """process"""


@lru_cache(maxsize=8)
def open_store(path: str) -> Store:
    """This process's store at a path: tasks share its index and its cache of tensors."""
    return Store(Path(path))


@lru_cache(maxsize=1)
def pool() -> Pool:
    """This process's models."""
    return Pool()


def run_parcel(code: Program, parcel: Parcel, place: Place, *parents: Any) -> Receipt:
    """Compute a parcel and publish it. ``parents`` are the receipts of the parcels it reads, to be done first.

    Items that another process published meanwhile are not computed again.
    """
    started = time.perf_counter()
    store = open_store(place.store)
    parcel = without(parcel, set(store.find(parcel.keys)))
    caller = Caller(code.numerics)
    blocks = []
    if len(parcel):
        with settings(code.numerics, place), opening(pool().opener(place.device, code.parts, store.file_digest)):
            results = compute(code, parcel, caller, store, place.device)
        about = provenance(code, time.perf_counter() - started, place)
        blocks = [store.write([parcel.keys[n] for n in items], outputs, about) for items, outputs in results]
    seconds = time.perf_counter() - started
    return Receipt(
        parcel.stage, parcel.number, len(parcel), seconds, blocks, dict(caller.calls), dict(caller.rows), os.getpid()
    )


def without(parcel: Parcel, known: set[str]) -> Parcel:
    """A parcel less the items that are known."""
    if not known:
        return parcel
    keep = [n for n, key in enumerate(parcel.keys) if key not in known]

    def rows(column: list[Any]) -> list[Any]:
        return [column[n] for n in keep]

    return Parcel(
        stage=parcel.stage,
        number=parcel.number,
        keys=rows(parcel.keys),
        statics=parcel.statics,
        per_item={node: {k: rows(v) for k, v in params.items()} for node, params in parcel.per_item.items()},
        inputs={node: rows(keys) for node, keys in parcel.inputs.items()},
        shared={node: rows(keys) for node, keys in parcel.shared.items()},
        unused={node: rows(ports) for node, ports in parcel.unused.items()},
        pooled=rows(parcel.pooled) if parcel.pooled else [],
        batch=parcel.batch,
    )


@contextmanager
def settings(numerics: Numerics, place: Place) -> Iterator[None]:
    """torch as the numerics say, and as it was afterwards. One task of a process computes at a time."""
    with _THREADS, torch.no_grad():
        before, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
        deterministic = torch.are_deterministic_algorithms_enabled()
        try:
            threads = 1 if numerics.strict else place.threads
            if threads:
                torch.set_num_threads(threads)
            torch.set_float32_matmul_precision(numerics.matmul)
            torch.use_deterministic_algorithms(numerics.strict)
            yield
        finally:
            torch.set_num_threads(before)
            torch.set_float32_matmul_precision(precision)
            torch.use_deterministic_algorithms(deterministic)


def provenance(code: Program, seconds: float, place: Place) -> dict[str, Any]:
    """What a block says of how it was made."""
    step = code.steps[code.stage]
    return {
        "node": code.stage,
        "type": step.type.name,
        "version": step.type.version,
        "numerics": code.numerics.text(),
        "seconds": round(seconds, 4),
        "device": place.device,
        "torch": torch.__version__,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
