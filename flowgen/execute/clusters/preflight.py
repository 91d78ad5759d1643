"""Before a task is sent every worker is asked whether it can do the run; what doesn't fit is said at once.

A worker that joins later asks itself the same before its first task (``flowgen.execute.task``).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from distributed import Client
from distributed.comm import CommClosedError

from flowgen.errors import UserError
from flowgen.execute.connection import ANSWERS
from flowgen.execute.fitness import Finding, Question, table
from flowgen.execute.homes import parts_of
from flowgen.execute.messages import NOTES
from flowgen.execute.placement import Workers, resources
from flowgen.execute.software import software
from flowgen.execute.task import Place, found
from flowgen.node import NodeType
from flowgen.plan.plan import Plan
from flowgen.store.probe import Probe
from flowgen.values.model import Part

TRIES, PAUSE = 4, 0.5
"""how often a worker is asked whose connection breaks; seconds before the second time, each later one longer"""
PATIENCE = 600.0
"""seconds that a worker may take to answer: it imports torch and may read large weights for the first time"""


@contextmanager
def admitted(client: Client, plan: Plan, place: Place) -> Iterator[tuple[Place, Workers]]:
    """The place with the question for workers that join later, and what those have that are here.

    This process is not asked. Raises UserError if a worker doesn't fit.
    """
    if client.scheduler.address.startswith("inproc:"):
        yield place, Workers()
        return
    with Probe(place.store) as probe:
        question = question_for(plan, place, probe.name)
        findings, declared = ask(client, question), resources(client)
        workers = Workers({worker: finding for worker, finding in findings.items() if worker in declared}, declared)
        judge(workers.findings, probe)
        workers.settle(plan)
        workers.check()
        yield replace(place, question=question, weights=workers.takes, largest=workers.largest), workers


def question_for(plan: Plan, place: Place, probe: str) -> Question:
    """What a plan takes."""
    stages = dict.fromkeys(cut.stage for cut in plan.parcels)
    types = [step.type for stage in stages for step in plan.programs[stage].steps.values()]
    parts = {part for stage in stages for part in parts_of(plan, stage)}
    return question_of(place, probe, types, {part: plan.keying.parts[part] for part in parts})


def question_of(place: Place, probe: str, types: Iterable[NodeType], parts: Mapping[Part, str]) -> Question:
    """What node types and parts of models take, the parts with their digests."""
    names = [type.code.__module__ for type in types if type.file is None]
    names += [each.loader for part in parts for each in part.whole()]
    modules = {re.split("[.:]", name)[0] for name in names}
    packages = tuple(sorted(modules - {"__main__"}))  # what was typed there travels as it is
    return Question(
        store=place.store,
        probe=probe,
        device=place.device,
        software=tuple(software(packages).items()),
        packages=packages,
        parts=tuple(sorted(parts.items(), key=lambda item: (item[0].folder, item[0].name))),
    )


async def asked(question: Question) -> Finding:
    """A worker's answer; in a thread, so that it goes on talking meanwhile."""
    return await asyncio.to_thread(found, question)


def ask(client: Client, question: Question, patience: float = PATIENCE) -> dict[str, Finding]:
    """Every worker's answer by its address, all asked at once; one that gives none is a finding too.

    A worker whose connection breaks may be dying: it is asked again while it is listed, and who comes in its place is
    asked too. Who takes long is told to those who listen to ``NOTES``.
    """
    found: dict[str, Any] = {}
    for again in range(TRIES):
        time.sleep(PAUSE * again)
        there = list(client.scheduler_info(n_workers=-1)["workers"])
        found = {worker: said for worker, said in found.items() if worker in there and not broken(said)}
        missing = [worker for worker in there if worker not in found]
        if not missing:
            break
        found |= asked_at_once(client, question, missing, patience)
    return {worker: finding_of(said, worker, patience) for worker, said in found.items()}


def broken(said: Any) -> bool:
    """Whether it was the connection that failed, not the worker's patience."""
    return isinstance(said, OSError) and not isinstance(said, TimeoutError)


def asked_at_once(client: Client, question: Question, workers: list[str], patience: float) -> dict[str, Any]:
    """What some workers answer, each with a finding or an exception."""

    async def one(worker: str) -> Any:
        try:
            said = await asyncio.wait_for(
                client.run(asked, question, workers=[worker], on_error="return"), timeout=patience
            )
            return said.get(worker, CommClosedError("it left"))
        except Exception as error:
            return error

    async def gathered() -> list[Any]:
        answers = {worker: asyncio.ensure_future(one(worker)) for worker in workers}
        _, silent = await asyncio.wait(answers.values(), timeout=ANSWERS)
        if names := [worker for worker, answer in answers.items() if answer in silent]:
            with suppress(OSError):  # that the scheduler is gone is noticed without it
                text = f"no answer yet from {few(names)}; the run waits for it, {patience:.0f} s at most"
                await client.scheduler.log_event(topic=NOTES, msg=text)
        return await asyncio.gather(*answers.values())

    return dict(zip(workers, client.sync(gathered), strict=True))


def finding_of(said: Any, worker: str, patience: float) -> Finding:
    """An answer, or what its lack means."""
    if isinstance(said, Finding):
        return said
    if isinstance(said, TimeoutError):
        wrong = f"no answer within {patience:.0f} s"
    elif isinstance(said, ImportError | AttributeError | TypeError):  # it can't take the question in
        wrong = f"it has another flowgen than here, or none: {said}"
    elif isinstance(said, OSError):
        wrong = "no answer: its connection broke"
    else:
        wrong = f"no answer: {said}"
    return Finding("", worker, 0, None, {"answer": (wrong,)})


def seen(findings: Mapping[str, Finding], probe: Probe) -> dict[str, Finding]:
    """The findings, with what their answers in the store say of it."""
    other = f"the store {probe.store} is another one there: what the worker wrote isn't here"
    return {
        worker: replace(found, wrong={**found.wrong, "store": (other,)})
        if not found.problems and not probe.answered(found.process)
        else found
        for worker, found in findings.items()
    }


def judge(findings: Mapping[str, Finding], probe: Probe) -> None:
    """Raises UserError that names the workers that don't fit, what is wrong with them, and all workers' devices."""
    found = seen(findings, probe)
    if unfit := [worker for worker, finding in found.items() if finding.problems]:
        raise UserError(
            f"{len(unfit)} of {len(found)} workers can't do this run; nothing was sent",
            hint="\n  ".join([*lines(found), "the workers:", *table(found)]),
        )


def lines(findings: Mapping[str, Finding]) -> list[str]:
    """What is wrong, each with the workers that lack it."""
    wrong: dict[str, list[str]] = {}
    for worker, finding in findings.items():
        for problem in finding.problems:
            wrong.setdefault(problem, []).append(worker)
    return [f"{problem}: {few(workers)}" for problem, workers in wrong.items()]


def few(names: list[str]) -> str:
    """Names, the first ones of many."""
    return ", ".join(sorted(names)[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
