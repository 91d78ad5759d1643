"""What a task says: words for the user; what it begins, so that it is known of what a worker died; how far it is."""

from __future__ import annotations

import os
import time

from distributed import get_worker

NOTES, BEGUN, STRIDES = "flowgen-notes", "flowgen-begun", "flowgen-strides"
"""topics: words for the user; which task begins where; how far one is"""
HEARD = 0.05
"""seconds in which what a task says has left its process"""


def tell(message: str) -> None:
    """Say something to the user of the run, from wherever the task runs."""
    try:
        get_worker().log_event(NOTES, message)
    except ValueError:  # called without a cluster
        return


def begin(suspect: bool) -> None:
    """Say which task begins in this process: if the process dies of it, that is known."""
    try:
        worker = get_worker()
    except ValueError:
        return
    worker.log_event(BEGUN, (worker.get_current_task(), worker.address))
    if suspect:
        time.sleep(HEARD)


def stride(steps: int, seconds: float) -> None:
    """Say how many steps this task has done, and in what time."""
    try:
        worker = get_worker()
    except ValueError:
        return
    worker.log_event(STRIDES, (worker.get_current_task(), steps, seconds))


def end_process(why: object) -> None:
    """Where somebody starts it again, end this process. The driver counts it as a death, and finds the culprit."""
    try:
        watched = bool(get_worker().nanny)
    except ValueError:
        return
    if watched:
        tell(f"{why}; the worker starts anew")
        time.sleep(HEARD)
        os._exit(1)
