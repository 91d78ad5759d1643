"""Runs of the experiment by flowgen, timed: from scratch, and with something added, in turn."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from networks import KINDS, spent_in_networks, timed_networks
from sweep import additions, graph


@dataclass(frozen=True)
class Timed:
    """A run and its seconds, from reading the graph to the report."""

    run: Any
    seconds: float
    inside: float
    """of them, in the networks' calls"""

    @property
    def rows(self) -> dict[str, int]:
        """Rows by kind of network."""
        calls = self.run.tally.calls()
        return {label: calls[kind][1] for kind, label in KINDS.items() if kind in calls}


@dataclass(frozen=True)
class Scratch:
    """A run with an empty store, and one after it that finds everything there."""

    first: Timed
    known: float
    """seconds of the second"""


class Runs:
    """Runs in one folder, in this process."""

    def __init__(self, folder: Path, prompts: int, seeds: int) -> None:
        self.folder, self.prompts, self.seeds = folder, prompts, seeds
        self.text = graph(prompts, seeds)
        self.timed(graph(1, seeds), "warm", seed=[0], steps=[10], guidance=[1, 2])  # the networks are there afterwards

    def timed(self, text: str, store: str, **where: Any) -> Timed:
        """One run of a graph."""
        import flowgen

        path = self.folder / "graph.yaml"
        path.write_text(text, encoding="utf-8")
        with timed_networks() as inside:
            started = time.perf_counter()
            run = flowgen.load(path, where=where).run(self.folder / store, self.folder / "runs")
            return Timed(run, time.perf_counter() - started, sum(inside))

    def scratch(self, store: str) -> Scratch:
        """The experiment with a store that isn't there yet."""
        return Scratch(self.timed(self.text, store), self.timed(self.text, store).seconds)

    def added(self, store: str, before: Scratch, cost: dict[str, float]) -> dict[str, dict[str, float]]:
        """What each addition to a finished experiment costs, ``before`` being the run that left its store and
        ``cost`` the seconds of a row of each network.

        A run from scratch follows each, so that its cost is compared with those just before and after it: the machine
        is not the same a minute later.
        """
        rows = before.first.rows
        found: dict[str, dict[str, float]] = {}
        for label, (text, least) in additions(self.prompts, self.seeds).items():
            more = self.timed(text, store)
            after = self.scratch(f"{store} {len(found)}")
            whole, known, inside = (
                (one + other) / 2
                for one, other in (
                    (before.first.seconds, after.first.seconds),
                    (before.known, after.known),
                    (before.first.inside, after.first.inside),
                )
            )
            found[label] = {
                "items": more.run.tally.computed(),
                "rows": more.rows.get("denoiser", 0),
                "least": least,
                "seconds": more.seconds,
                "whole": whole,
                "cost": (more.seconds - known) / (whole - known),
                "inside": more.inside / inside,
                "share": spent_in_networks(more.rows, cost) / spent_in_networks(rows, cost),
            }
            before = after
        return found
