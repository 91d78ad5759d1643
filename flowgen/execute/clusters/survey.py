"""What the workers have for a run, asked as before a run, without one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowgen.execute.clusters.connect import client
from flowgen.execute.clusters.preflight import ask, question_of, seen
from flowgen.execute.clusters.where import Where
from flowgen.execute.fitness import Finding, Question
from flowgen.execute.placement import resources
from flowgen.execute.task import Place, open_store
from flowgen.node import node_types
from flowgen.plan.plan import Plan
from flowgen.store.probe import Probe


@dataclass(frozen=True, slots=True)
class Survey:
    """A question and everybody's answer."""

    question: Question
    findings: Mapping[str, Finding]
    """by address"""
    resources: Mapping[str, Mapping[str, float]]
    """by address, what each declares to Dask"""

    @property
    def fit(self) -> list[str]:
        """The workers that can do a run."""
        return [worker for worker, found in self.findings.items() if not found.problems]

    def document(self) -> dict[str, Any]:
        """As JSON holds it; docs/clusters.md describes it. Memory in bytes."""
        return {
            "version": 1,
            "fit": len(self.fit),
            "store": self.question.store,
            "software": dict(self.question.software),
            "workers": [self.row(worker, found) for worker, found in sorted(self.findings.items())],
        }

    def row(self, worker: str, found: Finding) -> dict[str, Any]:
        """A worker."""
        device = found.device
        return {
            "address": worker,
            "host": found.host,
            "process": found.pid,
            "device": device.name if device else None,
            "memory_free": device.free if device else None,
            "memory_total": device.total if device else None,
            "room_for_weights": found.room,
            "resources": dict(self.resources.get(worker, {})),
            "software": dict(found.software),
            "problems": {about: list(problems) for about, problems in found.wrong.items() if problems},
        }


def survey(where: Where, place: Place, plan: Plan | None) -> Survey:
    """Ask every worker for what a whole plan takes, whatever of it is known; without one, for all installed packs.

    Raises UserError if the cluster can't be reached, or too few workers are there in time.
    """
    types = [node.type for node in plan.graph.nodes.values()] if plan else node_types().values()
    open_store(place.store)
    with client(where) as connected, Probe(place.store) as probe:
        question = question_of(place, probe.name, types, plan.keying.parts if plan else {})
        return Survey(question, seen(ask(connected, question), probe), resources(connected))
