"""The Python API: load a graph, check it, plan it, run it, hold the results."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from flowgen.errors import UserError
from flowgen.execute.cluster import client, threads_of
from flowgen.execute.driver import Events, Tally, execute
from flowgen.execute.progress import Silent
from flowgen.execute.task import Place, open_store
from flowgen.graph import Check, Graph, build, check
from flowgen.language.document import Document, load_document
from flowgen.plan.numerics import Numerics, numerics
from flowgen.plan.plan import Options, Plan, plan
from flowgen.results.failures import Failure, failures
from flowgen.results.run import write_run
from flowgen.store import Store
from flowgen.store.collect import keep_within
from flowgen.store.quantities import limit_from_environment, shown
from flowgen.store.reach import packed

if TYPE_CHECKING:
    import xarray

STORE = Path(".flowgen") / "store"
RUNS = Path("runs")
STRICT_PAD = 16
"""rows of every model call in strict numerics, unless --batch says otherwise"""


def load(
    path: str | Path,
    set: Mapping[str, Any] | None = None,
    sweep: Mapping[str, Any] | None = None,
    where: Mapping[str, Any] | None = None,
) -> Experiment:
    """Read a graph file.

    set: other values of inputs; one that is swept becomes an axis of length 1. sweep: axes to add or replace, as they
    are written in a file: ``{"seed": {"range": 4}}``. where: by axis, the points to keep: ``{"seed": [0, 3]}``.

    Raises UserError with file:line:column.
    """
    return Experiment(load_document(path, set, sweep, where))


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    """holds results.zarr, images, report.html, provenance.json and the graph"""
    plan: Plan
    """as it was before the run"""
    tally: Tally
    """what was computed"""

    @property
    def failures(self) -> list[Failure]:
        """Items that have no result, with their point in the sweep and their cause; the next run tries them again."""
        return failures(self.plan, self.tally)

    @property
    def results(self) -> xarray.Dataset:
        """The outputs over the axes of the sweep; arrays are read when they are used."""
        import xarray

        found: xarray.Dataset = xarray.open_zarr(self.folder / "results.zarr")
        return found


class Experiment:
    """A graph that can be checked, planned and run."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._graph: Graph | None = None
        self._check: Check | None = None

    @property
    def graph(self) -> Graph:
        """The wiring: nodes, loops, axes. Raises UserError."""
        if self._graph is None:
            self._graph = build(self.document)
        return self._graph

    def check(self) -> Check:
        """Types, shapes, spaces and kinds of every value, without reading a weight. Raises UserError."""
        if self._check is None:
            self._check = check(self.graph)
        return self._check

    def numerics(self, batch: int | None = None, device: str = "auto") -> Numerics:
        """How exactly results are computed."""
        return numerics(self.document.numerics, batch or STRICT_PAD, device_of(device))

    def plan(
        self,
        store: str | Path = STORE,
        *,
        batch: int | None = None,
        device: str = "auto",
        workers: int = 0,
    ) -> Plan:
        """What a run would compute, given what the store holds; computes nothing. Raises UserError."""
        options = Options(batch=batch, workers=max(1, workers), memory=memory_for(max(1, workers)))
        return plan(self.check(), open_store(str(store)), self.numerics(batch, device), options)

    def run(
        self,
        store: str | Path = STORE,
        runs: str | Path = RUNS,
        *,
        workers: int = 0,
        batch: int | None = None,
        device: str = "auto",
        events: Events | None = None,
    ) -> Run:
        """Compute what isn't known and write a run folder.

        store: where results are cached, shared between experiments. runs: where the run's folder is made.
        workers: processes; 0 computes in this one. batch: items at once. device: cpu, cuda, ... or auto.

        Raises UserError for wrong input, RunFailed where nodes failed; what was computed stays in the store.
        """
        kept: Store = open_store(str(store))
        device = device_of(device)
        threads = threads_of(workers) if workers else 0
        place = Place(str(Path(store).resolve()) if workers else str(store), device, threads)
        make_plan = partial(self.plan, store, batch=batch, device=device, workers=workers)
        return self._run(make_plan, workers, place, events or Silent(), kept, Path(runs))

    def _run(self, make_plan: Any, workers: int, place: Place, events: Events, store: Store, runs: Path) -> Run:
        with ExitStack() as holds:  # what the run stands on isn't collected while it lives

            def held() -> Plan:
                made: Plan = make_plan()
                keys = np.concatenate([np.zeros(0, "S40"), *made.stored_keys().values()])
                holds.enter_context(store.leases.hold(packed(keys)))
                return made

            first, tally = execute(held, partial(client, workers), place, events)
            folder = write_run(
                runs, first, tally, store, partial(execute, held, partial(client, workers), place, events)
            )
        if (limit := limit_from_environment()) is not None:
            gone = keep_within(store, limit)
            if gone.going:
                events.note(
                    f"the store's limit: {gone.items} items, {shown(gone.bytes)}, least recently used, are removed"
                )
        return Run(folder, first, tally)


def device_of(name: str) -> str:
    """A device that is there; ``auto`` is a GPU where there is one. Raises UserError."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError:
        raise UserError(f"'{name}' is no device", hint="cpu, cuda, cuda:1, mps or auto") from None
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(kind, False):
        raise UserError(f"this machine has no device '{name}'", hint="auto takes what there is")
    return name


def memory_for(workers: int) -> int:
    """Bytes that a batch may take: a quarter of a process's share of the machine's memory."""
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) // (4 * workers)
