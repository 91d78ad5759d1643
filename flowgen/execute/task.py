"""What runs on a worker: one parcel in, its results published to the store, a receipt out."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch
from distributed import get_worker

from flowgen.execute.caller import Caller
from flowgen.execute.device import device_of
from flowgen.execute.failures import DeviceBroken, isolated, less_failed, sound
from flowgen.execute.fitness import Finding, Question, Unfit, look
from flowgen.execute.limits import Limits
from flowgen.execute.memory import cycles, give_back, keep
from flowgen.execute.messages import begin, end, end_process, shared, tell
from flowgen.execute.pool import Pool
from flowgen.execute.precision import settings
from flowgen.execute.stage import compute
from flowgen.execute.stopping import Stopped
from flowgen.execute.waiting import shares
from flowgen.plan.program import Parcel, Program
from flowgen.store import Store, Unwritable, briefly, uses
from flowgen.store.quantities import shown
from flowgen.values import Record
from flowgen.values.model import NoRoom, opening

_LIMITS: dict[str, int] = {}
"""what this process learned"""
TIDYING = 0.05
"""seconds in which several short parcels may leave holes in the heap"""
TELLING = 600.0
"""seconds after which a worker tells again which blocks its machine used"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task works."""

    store: str
    """path or URL of the store"""
    device: str = "cpu"
    """``auto`` is the worker's affair"""
    threads: int = 0
    """torch threads; 0 leaves them as they are"""
    limits: Mapping[str, int] = field(default_factory=dict)
    """how many items calls may have, where memory ran out in earlier runs"""
    question: Question | None = None
    """what a worker that joins later asks itself before its first task"""
    weights: Mapping[str, int] = field(default_factory=dict)
    """by stage, the bytes of weights that its tasks hold on their device"""
    largest: int = 0
    """bytes of the largest device that a worker had when the run began"""
    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    """stands in the blocks that the run publishes"""


@dataclass(frozen=True)
class Receipt:
    """What a task says of its work; never a tensor. Without slots, as a parcel is."""

    stage: str
    number: int
    items: int
    """computed and published; also by a task of this run that was lost before it said so"""
    seconds: float
    blocks: list[str] = field(default_factory=list)
    """what it published"""
    found: list[str] = field(default_factory=list)
    """where the items lie that it didn't compute"""
    calls: dict[str, int] = field(default_factory=dict)
    """runs of each node type that uses a model"""
    rows: dict[str, int] = field(default_factory=dict)
    """items in those runs"""
    failed: dict[str, str] = field(default_factory=dict)
    """items that have no result, by key: the cause"""
    renamed: dict[str, str] = field(default_factory=dict)
    """reductions that skipped failed items, and what reads them: their key by the key that was planned"""
    waited: int = 0
    """items that another run was computing"""
    known: int = 0
    """items that another run had published by then"""
    worker: int = 0
    """process"""
    limits: dict[str, int] = field(default_factory=dict)
    """how many items calls may have, where memory ran out in this task"""
    steps: int = 0
    """a loop's steps of all items; the number of items for other nodes; 0 if fewer were computed than planned"""

    @property
    def told(self) -> list[str]:
        """The blocks that hold the parcel's items, for machines that don't know them."""
        return [*self.blocks, *self.found]


@lru_cache(maxsize=8)
def open_store(path: str) -> Store:
    """This process's store at a path or URL: tasks share its index and its cache of tensors."""
    return Store(path)


@lru_cache(maxsize=1)
def pool() -> Pool:
    """This process's models."""
    return Pool()


def run_parcel(
    code: Program, parcel: Parcel, place: Place, suspect: bool, blocks: Sequence[str], parents: Sequence[Receipt] = ()
) -> Receipt:
    """Compute a parcel and publish it. ``parents`` are the receipts of the parcels it reads, to be done first;
    ``blocks`` are those of parcels that were done when it was sent.

    Before a ``suspect``, of which workers may have died, time is left for the news that it begins.

    Items that another process published meanwhile are not computed again, those that one is computing are waited for;
    items whose parents failed fail. Raises Unfit on a worker that joined later and lacks what the run takes, whose
    store or device refuses, or which has no room for the weights and a smaller device than others; Stopped where the
    run was stopped, with what was done by then published.
    """
    begin(suspect)
    try:
        receipt = work_on(code, parcel, admit(place, code.stage), blocks, parents)
    except (Unwritable, DeviceBroken) as error:
        raise refused(error) from None
    end(receipt)
    return receipt


def work_on(code: Program, parcel: Parcel, place: Place, blocks: Sequence[str], parents: Sequence[Receipt]) -> Receipt:
    """Compute a parcel and publish it. Raises Stopped, Unwritable, DeviceBroken."""
    started = time.perf_counter()
    keep()
    store = open_store(place.store)
    store.learn([*blocks, *(block for receipt in parents for block in receipt.told)])
    gone = {key for receipt in parents for key in receipt.failed}
    others = {key: other for receipt in parents for key, other in receipt.renamed.items()}
    work = Work(code, *less_failed(code, parcel, gone, others), place, store)
    stop = work.caller.stop
    with briefly(stop.asked), closing(shares(work.parcel, store, work.waiting, stop.asked)) as parts:  # ends claims
        for part in parts:
            work.compute(part)
    if stop.asked():
        raise Stopped  # to nobody
    cycles.passed(len(parcel))
    give_back(TIDYING)
    _LIMITS.update(work.caller.limits.learned)
    uses.tell(store, TELLING)
    return work.receipt(len(parcel), time.perf_counter() - started)


class Work:
    """A parcel in work."""

    def __init__(
        self, code: Program, parcel: Parcel, failed: dict[str, str], renamed: dict[str, str], place: Place, store: Store
    ) -> None:
        self.code = code
        self.parcel = parcel
        self.failed = failed
        self.renamed = renamed
        self.place = place
        self.store = store
        self.models = pool().opener(place.device, code.parts, store.file_digest, code.sizes)
        limits = Limits(place.device, {**place.limits, **_LIMITS})
        self.caller = Caller(code.numerics, limits, self.models.make_room)
        self.published: list[str] = []
        self.done: set[str] = set()
        """items computed and published"""
        self.waited = 0
        self.begun = 0.0

    def compute(self, part: Parcel) -> None:
        """Compute some of the items and publish them."""
        self.begun = time.perf_counter()
        with settings(self.code.numerics, self.place.threads), opening(self.models):
            try:
                results, causes = isolated(self.outputs, part)
            except DeviceBroken as error:
                end_process(error)
                raise
        self.failed |= causes
        for keys, outputs in sound(results, self.failed):
            self.publish(*unpublished(keys, outputs, self.store) if self.parcel.saves else (keys, outputs))
            self.done.update(keys)

    def outputs(self, part: Parcel) -> list[tuple[list[int], dict[str, Record]]]:
        """The results of some items, by their positions. Raises Unfit."""
        try:
            return compute(self.code, part, self.caller, self.store, self.place.device, self.publish)
        except NoRoom as error:
            if not self.place.question or found(self.place.question).total >= self.place.largest:
                raise
            raise small(self.code.stage, error.message) from None

    def publish(self, keys: list[str], outputs: dict[str, Record]) -> None:
        """Results, or states of a loop on the way."""
        if keys:
            about = provenance(self.code, time.perf_counter() - self.begun, self.place)
            self.published.append(self.store.write(keys, outputs, about))

    def waiting(self, count: int) -> None:
        """Others compute so many of the items."""
        self.waited = count
        tell(f"{count} items of '{self.code.stage}' are being computed by another run; waiting for them")

    def receipt(self, planned: int, seconds: float) -> Receipt:
        """What became of the items, ``planned`` with those whose parents failed."""
        names = {other: key for key, other in self.renamed.items()}
        failed = {names.get(key, key): cause for key, cause in self.failed.items()}
        done = () if self.parcel.saves else self.done  # else it published them just now
        blocks = {key: item.block for key, item in self.store.find(set(self.parcel.keys).difference(done)).items()}
        others = {key: block for key, block in blocks.items() if key not in self.done}
        items = len(self.done) + published(others, self.store, self.place)
        return Receipt(
            stage=self.parcel.stage,
            number=self.parcel.number,
            items=items,
            seconds=seconds,
            blocks=self.published,
            found=sorted(set(blocks.values()) - set(self.published)),
            calls=dict(self.caller.calls),
            rows=dict(self.caller.rows),
            failed=failed,
            renamed={key: other for key, other in self.renamed.items() if key not in failed},
            waited=self.waited,
            known=planned - items - len(self.failed),
            worker=os.getpid(),
            limits=self.caller.limits.learned,
            steps=self.parcel.steps if len(self.done) == planned else 0,
        )


def published(blocks: Mapping[str, str], store: Store, place: Place) -> int:
    """How many of some items, by their blocks, this run published in tasks whose receipts were lost. Raises Lost."""
    mine = {name for name in set(blocks.values()) if store.manifest(name)["provenance"].get("run") == place.run}
    return sum(block in mine for block in blocks.values())


def admit(place: Place, stage: str) -> Place:
    """The place with this process's device, for a task of a stage. Raises Unfit."""
    if place.question is not None:
        mine = found(place.question)
        if mine.problems:
            raise Unfit(get_worker().address, mine.problems)
        if mine.total < (takes := place.weights.get(stage, 0)) <= place.largest:
            raise small(stage, f"the weights take {shown(takes)}, and its device has {shown(mine.total)}")
    device = device_of(place.device)
    return place if device == place.device else replace(place, device=device)


def small(stage: str, why: str) -> Unfit:
    """What a task raises where this worker has no room for the weights of its stage, and others have more."""
    return Unfit(get_worker().address, (why,), stage=stage)


def refused(error: Exception) -> Exception:
    """What a task raises where the store or the device refuses: of a worker of its own, its name too."""
    try:
        worker = get_worker()
    except ValueError:  # called without a cluster
        return error
    return error if shared(worker) else Unfit(worker.address, (getattr(error, "message", str(error)),), refused=True)


@lru_cache(maxsize=8)
def found(question: Question) -> Finding:
    """What this process has for a run, looked up once."""
    return look(question, lambda path: open_store(question.store).file_digest(path))  # a store that is there


def unpublished(keys: list[str], outputs: dict[str, Record], store: Store) -> tuple[list[str], dict[str, Record]]:
    """Results less those that the store has: a loop may have been run for its trajectory alone."""
    known = store.find(keys)
    new = [n for n, key in enumerate(keys) if key not in known]
    return [keys[n] for n in new], {name: value.take(new) for name, value in outputs.items()}


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
        "run": place.run,
        "torch": torch.__version__,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
