"""A run's events as JSON lines in its folder, written as they come: what a killed run leaves can be read."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from flowgen.errors import UserError
from flowgen.execute.course import Course
from flowgen.execute.records import Record, Recorder, record, seconds_of
from flowgen.store.processes import born

NAME = "events.jsonl"


class EventLog(Recorder):
    """Writes what happens to ``events.jsonl``, one line an event; ``begin`` names the process that does."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.course = Course()
        self.file: int | None = os.open(folder / NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self.unwritten = bytearray()
        """what a full disk had no room for, until it has"""
        self.lock = threading.Lock()

    def take(self, found: Record) -> None:
        """From whichever thread. What a disk that is full has no room for is tried again with the next record."""
        self.course.apply(found)
        line = json.dumps(found, ensure_ascii=False, allow_nan=False) + "\n"
        with self.lock, suppress(OSError):
            if self.file is not None:
                self.unwritten += line.encode("utf-8", "backslashreplace")
                while self.unwritten:
                    del self.unwritten[: os.write(self.file, self.unwritten)]

    def begin(self, **about: Any) -> None:
        """Who runs what."""
        process = {"host": socket.gethostname(), "pid": os.getpid(), "born": born(os.getpid())}
        self.take(record("started", **process, **about))

    @contextmanager
    def until_the_end(self) -> Iterator[None]:
        """Record how the run ends. A run that wasn't even planned leaves no folder."""
        try:
            yield
            self.end("finished")
        except KeyboardInterrupt:
            self.end("stopped", kept=self.course.kept)
            raise
        except BaseException as error:
            self.end("failed", kept=self.course.kept, causes=causes(error))
            raise
        finally:
            self.close()
            if not self.course.planned:
                shutil.rmtree(self.folder, ignore_errors=True)

    def end(self, how: str, **about: Any) -> None:
        """The last record."""
        found = record(how, **self.course.totals(), **about)
        self.take({**found, "seconds": round(seconds_of(found["time"]) - self.course.first, 3)})

    def close(self) -> None:
        """Let the file go."""
        if self.file is not None:
            os.close(self.file)
            self.file = None


def causes(error: BaseException) -> dict[str, str]:
    """Why a run failed: by node where nodes failed, else under ``run``."""
    found: dict[str, BaseException] = getattr(error, "failures", None) or {"run": error}
    return {node: cause_text(cause) for node, cause in found.items()}


def cause_text(cause: BaseException) -> str:
    """A cause in words: a user's mistake as it is, others with their type."""
    return str(cause) if isinstance(cause, UserError) else f"{type(cause).__name__}: {cause}"


def read_records(path: Path, start: int = 0) -> tuple[list[Record], int]:
    """The whole lines of a log from a byte on, and the byte after them; a line cut off by a crash is left out."""
    with path.open("rb") as file:
        file.seek(start)
        data = file.read()
    whole = data[: data.rfind(b"\n") + 1]
    found = []
    for line in whole.splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict) and isinstance(entry.get("event"), str) and isinstance(entry.get("time"), str):
            found.append(entry)
    return found, start + len(whole)
