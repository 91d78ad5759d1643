"""The runs under a folder: finding them, how far each is, ending one."""

from __future__ import annotations

import difflib
import os
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowgen.errors import UserError
from flowgen.execute.course import ENDS, Course
from flowgen.execute.event_log import NAME, read_records
from flowgen.execute.fields import sound
from flowgen.execute.records import Record
from flowgen.store.processes import born, suspended

FINISHED = "provenance.json"
"""written last: a folder that has it is a finished run"""
PRINTED = "run.log"
"""in the folder of a detached run, what its process printed"""
SUSPENDED = "suspended"
"""the state of a run whose process sleeps until it is told to go on, whatever it was at"""
UNREADABLE = "unreadable"
"""the state of a run whose folder doesn't say whose it is"""
DAMAGED = "damaged"
"""the state of a run that finished and whose ``provenance.json`` is gone: it is written before the events' last line"""
LATEST = "last"
NAMED = 3
"""runs that are named where one isn't found"""
VERSION = 1
"""of what ``document`` gives: raised when a field changes its meaning or goes"""
PAUSE = 0.1
"""seconds between two looks at a process that is asked to end"""


@dataclass(frozen=True)
class Seen:
    """A run as its folder shows it."""

    folder: Path
    course: Course
    state: str
    """planning, running, writing, stopping; finished, failed, stopped; suspended; unreadable, damaged"""
    here: bool
    """whether its process lives, on this machine"""

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self.state in (*ENDS, UNREADABLE, DAMAGED)

    @property
    def host(self) -> str:
        """The machine of its process; empty if the folder doesn't say."""
        return str(self.course.about.get("host", ""))

    @property
    def abroad(self) -> bool:
        """Whether it runs on another machine, where nobody can ask for its process from here."""
        return not self.ended and self.host != socket.gethostname()

    @property
    def gone(self) -> bool:
        """Whether its process ended without a word."""
        return self.state == "stopped" and not self.course.ended

    @property
    def seconds(self) -> float:
        """How long it took, or takes by now."""
        return max(0.0, (self.course.last if self.ended else time.time()) - self.course.first)


def runs_in(runs: Path) -> list[Path]:
    """The folders of all runs, the newest first."""
    found = {path.parent for name in (NAME, FINISHED) for path in runs.glob(f"*/{name}")}
    return sorted(found, key=lambda folder: folder.name, reverse=True)


def find_run(runs: Path, name: str) -> Path:
    """The folder of a run: its path, its name, or ``last``. Raises UserError."""
    known = runs_in(runs)
    if name == LATEST and known:
        return known[0]
    for folder in (runs / name, Path(name)):
        if (folder / NAME).is_file() or (folder / FINISHED).is_file():
            return folder
    if not known:
        raise UserError(
            f"there are no runs in '{runs}'", hint="'flowgen run GRAPH' makes one; --runs names another place"
        )
    names = [folder.name for folder in known]
    near = difflib.get_close_matches(name, [LATEST, *names], n=1)
    named = f"did you mean '{near[0]}'?" if near else f"the latest: {', '.join(names[:NAMED])}"
    raise UserError(f"'{name}' is no run", hint=f"{named}; 'flowgen status' lists all")


def look(folder: Path) -> Seen:
    """A run by what its folder says, and by whether its process lives."""
    course = Course()
    with suppress(OSError):
        replay(read_records(folder / NAME)[0] if (folder / NAME).is_file() else [], course)
    return judged(folder, course)


def judged(folder: Path, course: Course) -> Seen:
    """A run whose records are read."""
    about = course.about
    mine = about.get("host") == socket.gethostname()
    here = mine and not course.ended and born(about["pid"]) == about["born"] != ""
    state = course.state
    if (folder / FINISHED).is_file():
        state = "finished"
    elif not about:
        state = UNREADABLE
    elif state == "finished":
        state = DAMAGED
    elif mine and not here and state not in ENDS:
        state = "stopped"
    elif here and suspended(about["pid"]):
        state = SUSPENDED
    return Seen(folder, course, state, here)


def replay(records: list[Record], course: Course) -> None:
    """Apply records, without those that can't be understood."""
    for found in filter(sound, records):
        course.apply(found)


def document(seen: Seen) -> dict[str, Any]:
    """A run as JSON can hold it; docs/long_runs.md describes the fields."""
    course = seen.course
    return {
        "run": seen.folder.name,
        "folder": str(seen.folder),
        "state": seen.state,
        "process_gone": seen.gone,
        "host": seen.host or None,
        "pid": course.about.get("pid"),
        "graph": course.about.get("graph"),
        "store": course.about.get("store"),
        "started": course.about.get("time"),
        "seconds": round(seen.seconds, 3),
        "done": course.done,
        "compute": course.total,
        "known": course.known,
        "failed": course.failed,
        "rate": course.rate,
        "left": course.left() if seen.state == "running" else None,
        "workers": course.workers,
        "deaths": course.deaths,
        "sent_again": course.repeated,
        "dashboard": course.dashboard,
        "notes": course.notes,
        "causes": course.causes,
        "nodes": {
            name: {
                "items": node.items,
                "known": node.known,
                "compute": node.total,
                "done": node.done,
                "in_hand": node.in_hand,
                "in_hand_done": round(node.begun, 3),
                "failed": node.failed,
                "rate": node.rate,
                "left": node.left() if seen.state == "running" else None,
            }
            for name, node in course.nodes.items()
        },
    }


def stop(seen: Seen, wait: float) -> bool:
    """Ask a run's process to end, and wait so many seconds for it; whether it has ended. Raises UserError."""
    if seen.state == UNREADABLE:
        raise UserError(f"nobody can tell whose run '{seen.folder.name}' is: its {NAME} can't be read")
    if seen.ended:
        return True
    if seen.abroad:
        raise UserError(
            f"'{seen.folder.name}' runs on '{seen.host}', this is '{socket.gethostname()}'",
            hint=f"ssh {seen.host} flowgen stop {seen.folder.absolute()}",
        )
    pid, begun = int(seen.course.about["pid"]), seen.course.about["born"]
    try:
        if born(pid) == begun:  # a later process of the same number isn't it
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGCONT)  # a suspended one hears nothing before
    except ProcessLookupError:
        pass
    except PermissionError:
        raise UserError(
            f"process {pid} of '{seen.folder.name}' isn't yours", hint="who started it can stop it"
        ) from None
    for _ in range(round(wait / PAUSE)):  # a machine that slept meanwhile has waited for nobody
        if born(pid) != begun:
            return True
        time.sleep(PAUSE)
    return bool(born(pid) != begun)
