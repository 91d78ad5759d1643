"""Worker processes that leave the caller's script alone.

Python's ``multiprocessing`` has a new process import the main module, so that what is defined there can be unpickled. A
script that calls ``run`` outside of ``if __name__ == "__main__":`` would run again in every worker. Nothing needs the
import: what a main module defines travels to workers as code, as it does to those of other machines.
"""

from __future__ import annotations

from multiprocessing import spawn
from typing import Any

WORKER = "Dask Worker process (from Nanny)"
"""the name of the processes that Dask's nannies start"""
MAIN = "init_main_from_name", "init_main_from_path"
"""what tells a new process to import the main module"""

original = spawn.get_preparation_data


def set_apart() -> None:
    """Have this process's workers start without its main module; other processes that it starts are as ever."""
    spawn.get_preparation_data = preparation


def preparation(name: str) -> dict[str, Any]:
    """What a new process is told before it begins."""
    told: dict[str, Any] = original(name)
    return {key: value for key, value in told.items() if name != WORKER or key not in MAIN}
