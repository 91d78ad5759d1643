"""Items to compute, cut for tasks: seconds of work each, of one variant, in batches that fit into memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from flowgen.graph.check import Check, Outcome
from flowgen.graph.model import GraphNode
from flowgen.plan.branches import own_steps
from flowgen.plan.checkpoints import Checkpoints, States, starts_of
from flowgen.plan.program import Program
from flowgen.plan.trajectories import APART, Trajectories

PARCEL_FLOPS = 2e11
"""work of a parcel: a few seconds on a few CPU cores, less on a GPU; a parcel is what a crash can lose"""
PARCEL_SECONDS = 60.0
"""of work, where earlier runs tell how long it takes: on a slow or busy machine tasks are smaller for it"""
PARCEL_BYTES = 8 << 20
"""of what a task reads, makes on its way and publishes; it holds all of it at once, so that memory depends on this"""
EACH = 4
"""parcels for each worker, at least"""
LIVE_TENSORS = 16
"""how many tensors of the largest size a network holds at once, roughly"""
LARGEST_BATCH = 64
LARGEST_PARCEL = 4096

Pace = Callable[[str, int], float | None]
"""by type of a node and FLOPs of an item (of a step, for a loop): the seconds that one takes, None if unknown"""


class Limits(Protocol):
    """What limits batches."""

    @property
    def batch(self) -> int | None:
        """Items at once, if the user says."""

    @property
    def memory(self) -> int:
        """Bytes that a batch may take."""

    @property
    def workers(self) -> int:
        """Processes that share the work."""

    @property
    def pace(self) -> Pace | None:
        """What earlier runs took."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Some items of a stage that one task computes, and in what batches."""

    stage: str
    number: int
    rows: NDArray[np.int64]
    """flat indices of the items' points along the stage's axes"""
    batch: int
    """items that a node's code is given at once"""
    steps: int
    """a loop's steps of all items together, shared ones once; the number of items for other nodes"""
    share: NDArray[np.int64] | None = None
    """for a loop: the leading steps that an item shares with the one before it; APART if they don't begin alike"""
    own: NDArray[np.int64] | None = None
    """for a loop: the step from which an item has a lane of its own"""
    states: States | None = None
    """for a loop with checkpoints: what is stored on the way, and where items start"""

    def __len__(self) -> int:
        return len(self.rows)


def cuts(
    checked: Check,
    code: Program,
    points: NDArray[np.int64],
    limits: Limits,
    trajectories: Trajectories | None = None,
    checkpoints: Checkpoints | None = None,
) -> list[Cut]:
    """The points of a stage's items, cut into parcels: one task each, of one variant."""
    node, held = checked.graph.nodes[code.stage], held_bytes(checked, code)
    variant = checked.variants[node.name].at(node.axes, checked.graph.lengths, points)
    found: list[Cut] = []
    for number in np.unique(variant):
        rows = points[variant == number]
        outcome = checked.outcomes[node.name][number]
        batch = batch_size(outcome, limits)
        steps = steps_of(checked, node, rows)
        each = limits.pace(node.type.name, checked.outcomes[node.name][0].flops) if limits.pace else None
        work, seconds = outcome.flops * int(steps[0]), (each or 0.0) * int(steps[0])
        size = parcel_size(len(rows), batch, work, held, limits.workers, seconds)
        if trajectories is None:
            for start in range(0, len(rows), size):
                part = slice(start, start + size)
                found.append(Cut(node.name, len(found), rows[part], batch, int(steps[part].sum())))
            continue
        rows, share = trajectories.arranged(node.axes, checked.graph.lengths, rows)
        steps = steps_of(checked, node, rows)
        for start, end in lanes(share, size, batch):
            part = slice(start, end)
            share[start] = APART  # tasks share nothing
            states = checkpoints.of(rows[part]) if checkpoints else None
            own = own_steps(share[part], starts_of(states, end - start), steps[part])
            left = int((steps[part] - own).sum())
            found.append(Cut(node.name, len(found), rows[part], batch, left, share[part], own, states))
    return found


def lanes(share: NDArray[np.int64], size: int, batch: int) -> Iterator[tuple[int, int]]:
    """Where a loop's parcels begin and end: at most ``size`` items, whole batches where more than half of these end at
    one, but items that share steps stay together while they can. A rest of less than half a batch goes along with the
    last: by itself, its calls would be nearly empty.
    """
    begins = np.append(np.flatnonzero(share == APART), len(share))
    start = 0
    while start < len(share):
        after, beyond = np.searchsorted(begins, [start, start + size], side="right")
        ends = begins[after : max(beyond, after + 1)]
        whole = ends[((ends - start) % batch == 0) & (2 * (ends - start) > size)]
        end = int((whole if len(whole) and ends[-1] < len(share) else ends)[-1])
        end = min(end, max(start + size, start + LARGEST_PARCEL))
        end = len(share) if 2 * (len(share) - end) < batch else end
        yield start, end
        start = end


def batch_size(outcome: Outcome, limits: Limits) -> int:
    """Items at once: as told, or what the memory holds of a network's largest tensors."""
    if limits.batch:
        return limits.batch
    fits = limits.memory // max(1, LIVE_TENSORS * outcome.peak_bytes)
    return int(max(1, min(LARGEST_BATCH, fits)))


def held_bytes(checked: Check, code: Program) -> float:
    """Size of what a task holds for an item: what it reads, what cheap nodes make of that, and its result.

    What several points share, a text's encoding for all seeds, counts for its part.
    """
    graph = checked.graph

    def points(name: str) -> int:
        return math.prod(graph.shape(graph.nodes[name].axes))

    names = [*code.reads, *(name for name, step in code.steps.items() if step.body_of is None)]
    whole = points(code.stage)
    return sum(max(o.bytes for o in checked.outcomes[name]) * min(1, points(name) / whole) for name in names)


def parcel_size(items: int, batch: int, flops: int, held: float, workers: int, seconds: float = 0.0) -> int:
    """Items of a parcel: whole batches, some seconds of work that fit into little memory, and where several workers
    share it some for each of them, so that none waits long for the last one; no fewer parcels than workers, for which
    alone a batch isn't filled. ``seconds``: of an item, 0 if that isn't known.
    """
    wanted = min(PARCEL_FLOPS / max(1, flops), PARCEL_BYTES / max(1, held), PARCEL_SECONDS / max(1e-9, seconds))
    if workers > 1:
        wanted = min(wanted, items / (EACH * workers))
    most = max(1, min(round(wanted / batch), LARGEST_PARCEL // batch))
    batches = even(most, -(-items // batch), workers)
    each = -(-items // max(1, workers))
    if workers > 1 and each > batch:
        each -= each % batch
    return min(batches * batch, LARGEST_PARCEL, each)


def even(batches: int, whole: int, workers: int) -> int:
    """Batches of a parcel, half as many at least, with which workers that take one parcel after the other end together.

    whole: batches of all parcels.
    """

    def last(each: int) -> int:
        """Batches of whoever ends last."""
        full, rest = divmod(whole, each)
        rounds, more = divmod(full, max(1, workers))
        return rounds * each + (each if more else rest)

    return min(range(batches, batches // 2, -1), key=last)


def steps_of(checked: Check, node: GraphNode, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Steps of some points of a loop; 1 each for other nodes."""
    if node.name not in checked.lengths:
        return np.ones(len(rows), dtype=np.int64)
    return checked.lengths[node.name].at(node.axes, checked.graph.lengths, rows)
