"""What a task says while it runs: words for the user, and what it begins, so that it is known of what a worker died."""

from __future__ import annotations

import os
import time

from distributed import get_worker

NOTES, BEGUN = "flowgen-notes", "flowgen-begun"
"""topics: words for the user; which task begins where"""
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
