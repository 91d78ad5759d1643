"""The Python API: load a graph, check it, plan it, run it, hold the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowgen.config import resolve
from flowgen.config.kinds import KINDS, understood
from flowgen.errors import UserError, with_article
from flowgen.execute.clusters import Where, chosen
from flowgen.execute.clusters.processes import threads_of
from flowgen.execute.clusters.running import secured
from flowgen.execute.events import Events, Silent
from flowgen.execute.task import Place, open_store
from flowgen.graph import Check, Graph, build, check
from flowgen.language.document import Document, load_document
from flowgen.language.given import unwrapped
from flowgen.language.sources import real
from flowgen.plan.expect import expect, pace
from flowgen.plan.numerics import Numerics, numerics
from flowgen.plan.plan import Options, Plan, plan
from flowgen.plan.why import Answer, why
from flowgen.runner import Run, device_for, memory_for, place_of, run
from flowgen.store import Store
from flowgen.store.limits import remembered
from flowgen.store.timings import Timings
from flowgen.values.model import allowing_pickles

if TYPE_CHECKING:
    pass

STRICT_PAD = 16
"""rows of every model call in strict numerics, unless --batch says otherwise"""


def load(
    path: str | Path,
    set: Mapping[str, Any] | None = None,
    sweep: Mapping[str, Any] | None = None,
    where: Mapping[str, Any] | None = None,
    dtype: str | None = None,
    imports: Sequence[str | Path] = (),
    allow_pickle: bool = False,
) -> Experiment:
    """Read a graph file.

    set: other values of inputs; one that is swept becomes an axis of length 1. sweep: axes to add or replace, as they
    are written in a file, ``{"seed": {"range": 4}}``, or as Python has them: lists, arrays, tensors. where: by axis,
    the points to keep: ``{"seed": [0, 3]}``. dtype: precision of models whose node doesn't say one, float32, float16 or
    bfloat16. imports: Python files whose code the graph may run. allow_pickle: whether models may have their weights in
    pickles; code in one isn't run.

    Raises UserError with file:line:column.
    """
    for name, given in (("set", set), ("sweep", sweep), ("where", where)):
        if given is not None and not isinstance(given, Mapping):
            raise UserError(f"'{name}' is a mapping from names to values, not {with_article(type(given).__name__)}")
        for key in given or ():
            if not isinstance(key, str):
                raise UserError(f"'{name}' takes names, which are texts, not {key!r}")
    made = load_document(path, unwrapped(set, "set"), unwrapped(sweep, "sweep"), unwrapped(where, "where"))
    return Experiment(made, dtype, imports, allow_pickle)


class Experiment:
    """A graph that can be checked, planned and run.

    What a call leaves out is taken from the environment, the project's and the user's ``flowgen.toml``.
    """

    def __init__(
        self,
        document: Document,
        dtype: str | None = None,
        imports: Sequence[str | Path] = (),
        allow_pickle: bool = False,
    ) -> None:
        self.document = document
        self.allow_pickle = allow_pickle
        self.settings = resolve(document.folder, {"dtype": dtype})
        allowed = [*map(Path, imports), *self.settings.imports]
        document.imports = frozenset(real(path) for path in allowed)
        if self.settings.dtype:
            document.settings["dtype"] = self.settings.dtype
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
            with allowing_pickles(self.allow_pickle):
                self._check = check(self.graph)
        return self._check

    def numerics(self, batch: int | None = None, device: str = "auto", where: Where | None = None) -> Numerics:
        """How exactly results are computed. Raises UserError where the device that keys depend on isn't known."""
        device = device_for(device, where or Where())
        if device == "auto" and self.document.numerics == "strict":
            raise UserError(
                "strict results depend on the kind of device, which isn't known before a cluster's workers are asked",
                hint="say which: --device cuda or --device cpu",
            )
        return numerics(self.document.numerics, batch or STRICT_PAD, device)

    def plan(
        self,
        store: str | Path | None = None,
        *,
        batch: int | None = None,
        device: str | None = None,
        workers: int | None = None,
        cluster: str | None = None,
    ) -> Plan:
        """What a run would compute, given what the store holds; computes nothing. Raises UserError."""
        store, batch, device, workers = self.defaulted(store, batch, device, workers)
        return self._plan(store, batch, device, chosen(self.settings, workers, cluster))

    def _plan(self, store: str | Path, batch: int | None, device: str, where: Where) -> Plan:
        count = where.side_by_side
        kept = open_store(str(store))
        kept.sync(since=5.0)  # what other machines published
        precision, timings, at = self.numerics(batch, device, where), Timings(kept.medium), place_of(device, where)
        memory, whose = memory_for(device, where)
        options = Options(batch, count, memory, whose, remembered(kept.medium), pace(timings, at, precision))
        made = plan(self.check(), kept, precision, options)
        expect(made, timings, at, count)
        return made

    def why(
        self,
        question: str,
        store: str | Path | None = None,
        runs: str | Path | None = None,
        *,
        batch: int | None = None,
        device: str | None = None,
        workers: int | None = None,
        cluster: str | None = None,
    ) -> Answer:
        """Why a node's items are in the store or not: ``"image"`` or ``"image[seed=0,guidance=2]"``.

        Computes nothing. Raises UserError for what isn't in the graph.
        """
        store, batch, device, workers = self.defaulted(store, batch, device, workers)
        made = self._plan(store, batch, device, chosen(self.settings, workers, cluster))
        return why(made, open_store(str(store)), question, Path(runs or self.settings.runs))

    def run(
        self,
        store: str | Path | None = None,
        runs: str | Path | None = None,
        *,
        workers: int | None = None,
        batch: int | None = None,
        device: str | None = None,
        cluster: str | None = None,
        tls: str | Path | None = None,
        insecure: bool = False,
        wait: float | None = None,
        events: Events | None = None,
    ) -> Run:
        """Compute what isn't known and write a run folder.

        store: where results are cached, shared between experiments. runs: where the run's folder is made.
        workers: processes; 0 computes in this one. batch: items at once. device: cpu, cuda, ... or auto.
        cluster: a Dask scheduler's address, ``gpus``, or a file that describes jobs; ``workers`` is then how many to
        wait for, ``wait`` for how many seconds, ``tls`` a folder of certificates; ``insecure`` does without it.

        Raises UserError for wrong input, RunFailed where nodes failed; what was computed stays in the store.
        """
        store, batch, device, workers = self.defaulted(store, batch, device, workers)
        where = chosen(self.settings, workers, cluster, tls, insecure, wait)
        if where.running:
            secured(where)  # before anything is planned, or nobody would hear of it where all is known
        kept: Store = open_store(str(store))
        threads = threads_of(where.workers) if where.workers and not where.cluster else 0
        place = Place(str(store), device_for(device, where), threads, remembered(kept.medium))
        make_plan = partial(self._plan, store, batch, device, where)
        folder, limit = Path(runs or self.settings.runs), self.settings.store_limit
        return run(make_plan, self.document.file, where, place, events or Silent(), kept, folder, limit)

    def defaulted(
        self, store: str | Path | None, batch: int | None, device: str | None, workers: int | None
    ) -> tuple[Path | str, int | None, str, int]:
        """What a call says, completed by the settings; the store by its whole path, which stays what it is, or URL."""
        settings, batch, workers = self.settings, unwrapped(batch, "batch"), unwrapped(workers, "workers")
        for name, value, least in (("batch", batch, 1), ("workers", workers, 0)):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
                raise UserError(f"'{name}' is a whole number of at least {least}, not {value!r}")
        where = settings.store if store is None else understood(KINDS["store"], store, Path())
        return (
            where.absolute() if isinstance(where, Path) else where,
            settings.batch if batch is None else batch,
            settings.device if device is None else device,
            settings.workers if workers is None else workers,
        )
