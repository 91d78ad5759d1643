"""Which process on which machine: names that tell a process from all others, and whether one of this machine lives."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import uuid
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

DIVIDER = "~"


@lru_cache(maxsize=1)
def machine() -> str:
    """This machine's name, fit for a file's."""
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:60] or "machine"


@lru_cache(maxsize=1)
def place() -> str:
    """Where process numbers mean the same as here: this machine, since it started, and this container of it."""
    told = [socket.gethostname()]
    with suppress(OSError):  # no Linux
        told.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        told.append(os.readlink("/proc/self/ns/pid"))
    return f"{machine()}-{hashlib.sha256(repr(told).encode()).hexdigest()[:8]}"


def name_process() -> str:
    """A name of this process that nothing else has; a new one with every call."""
    return DIVIDER.join([place(), str(os.getpid()), born(os.getpid()), uuid.uuid4().hex[:12]])


def machine_of(name: str) -> str:
    """The machine in a process's name."""
    return name.split(DIVIDER)[0]


def is_here(name: str) -> bool:
    """Whether a process's name is of this machine."""
    return machine_of(name) == place()


def lives(name: str) -> bool:
    """Whether a process lives, as far as can be told: True for all of other machines."""
    parts = name.split(DIVIDER)
    if len(parts) != 4 or not parts[1].isdigit():
        return False
    return parts[0] != place() or born(int(parts[1])) == parts[2]


def born(pid: int) -> str:
    """When a process started, which tells it from a later one of the same number; empty if there is none."""
    return born_once(pid) if pid == os.getpid() else read_born(pid)


@lru_cache(maxsize=1)
def born_once(pid: int) -> str:
    """``read_born`` of this process."""
    return read_born(pid)


def read_born(pid: int) -> str:
    """From /proc (clock ticks since the machine started); elsewhere only whether it lives."""
    try:
        state, ticks = read_stat(pid)
        return "" if state in "ZX" else ticks
    except OSError:
        if Path("/proc/self").exists():
            return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "alive"


def suspended(pid: int) -> bool:
    """Whether a process is stopped, as by Ctrl-Z, and goes on with SIGCONT; False where nobody can tell."""
    try:
        return read_stat(pid)[0] == "T"
    except OSError:
        return False


def read_stat(pid: int) -> tuple[str, str]:
    """State and start of a process: fields 3 and 22 of proc_pid_stat(5). Raises OSError, always without /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], fields[19]
