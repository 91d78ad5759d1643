"""Whether this process can do a run's tasks: its code, its device, the run's store and weights."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from flowgen.errors import UserError
from flowgen.execute.device import Memory, device_of, memory_of, room_for_weights
from flowgen.execute.software import differences, software
from flowgen.store.probe import answer
from flowgen.values.model import Part

SHOWN = 20
"""workers that a message lists"""
ABOUT = ("answer", "software", "device", "store", "weights")
"""what a worker may lack"""


@dataclass(frozen=True, slots=True)
class Question:
    """What a run asks of every worker."""

    store: str
    probe: str
    """the driver's sign in the store"""
    device: str
    """as the user named it"""
    software: tuple[tuple[str, str], ...]
    """the driver's, by name"""
    packages: tuple[str, ...]
    """whose code is among that"""
    parts: tuple[tuple[Part, str], ...] = ()
    """parts of models that tasks will load, with their digests"""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a worker has."""

    process: str
    """signs its answers in the store"""
    host: str
    """where it runs"""
    pid: int
    """of its process there"""
    device: Memory | None
    """None where it isn't there"""
    wrong: Mapping[str, tuple[str, ...]]
    """what stands in the way, in words, by what was looked at: some of ``ABOUT``"""
    room: int = 0
    """bytes of weights that it holds at once"""
    software: Mapping[str, str] = field(default_factory=dict)
    """what it runs, by name"""

    @property
    def problems(self) -> tuple[str, ...]:
        """All that stands in the way."""
        return tuple(problem for about in ABOUT for problem in self.wrong.get(about, ()))

    @property
    def total(self) -> int:
        """Bytes of the device; 0 where it isn't there."""
        return self.device.total if self.device else 0

    def text(self) -> str:
        """As a table shows it."""
        where = f"{self.host}, process {self.pid}" if self.pid else self.host
        return f"{where}: {self.device.text() if self.device else 'no such device'}"


class Unfit(UserError):
    """A worker doesn't do a run's tasks: it joined later and lacks what they take, or its store or device refuses. Or
    not those of a stage, for whose weights others have more room.
    """

    def __init__(self, worker: str, problems: tuple[str, ...], refused: bool = False, stage: str = "") -> None:
        of = f" of '{stage}'" if stage else ""
        super().__init__(f"the worker {worker} gets no tasks{of}: {'; '.join(problems)}")
        self.worker = worker
        """address"""
        self.problems = problems
        self.refused = refused
        """whether it is its store or device that refuses: another worker's may too, of which one that lacks something
        says nothing
        """
        self.stage = stage
        """whose tasks it doesn't do; empty for all"""

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return Unfit, (self.worker, self.problems, self.refused, self.stage)


@lru_cache(maxsize=1)
def sign(process: int) -> str:
    """What a process signs with, among all machines; one that is forked has another number, so a sign of its own."""
    return uuid.uuid4().hex


def look(question: Question, file_digest: Callable[[Path], str]) -> Finding:
    """What this process has for a run."""
    mine = software(question.packages)
    wrong = {"software": tuple(differences(dict(question.software), mine))}
    device, room = None, 0
    try:
        name = device_of(question.device)
        device, room = memory_of(name), room_for_weights(name)
    except UserError as error:
        wrong["device"] = (error.message,)
    me = sign(os.getpid())
    lacks = answer(question.store, question.probe, me)
    wrong["store"] = (lacks,) if lacks else ()
    if not lacks:  # digests of weights are remembered in the store
        wrong["weights"] = tuple(weights(question, file_digest))
    return Finding(me, socket.gethostname(), os.getpid(), device, wrong, room, mine)


def table(findings: Mapping[str, Finding]) -> list[str]:
    """A line for each worker."""
    lines = [f"  {worker}  {finding.text()}" for worker, finding in sorted(findings.items())]
    return lines[:SHOWN] + ([f"  and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else [])


def weights(question: Question, file_digest: Callable[[Path], str]) -> list[str]:
    """What is wrong with the weights."""
    found = []
    for part, digest in question.parts:
        try:
            if part.digest(file_digest) != digest:
                found.append(f"'{part.name}' in {part.folder} has other weights")
        except OSError as error:
            found.append(f"no weights of '{part.name}' in {part.folder}: {error.strerror}")
    return found
