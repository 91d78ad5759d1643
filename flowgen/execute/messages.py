"""What a task says while it runs: words for the user, and that it begins, so that it is known of what a worker died.

When it ends it says its receipt, which it also returns: to fetch that takes two ways and many steps of Dask's.
"""

from __future__ import annotations

import os
import pickle
import time
from typing import TYPE_CHECKING, cast

from distributed import get_worker

if TYPE_CHECKING:
    from flowgen.execute.task import Receipt

NOTES, BEGUN, ENDED = "flowgen-notes", "flowgen-begun", "flowgen-ended"
"""topics: words for the user; which task begins where; which has ended, with its receipt"""
HEARD = 0.05
"""seconds in which what a task says has left its process"""


def tell(message: str) -> None:
    """Say something to the user of the run, from wherever the task runs."""
    try:
        get_worker().log_event(NOTES, message)
    except ValueError:  # called without a cluster
        return


def begin(suspect: bool) -> None:
    """Say which task begins in this process: if the process dies of it, that is known. Not to who dies with it."""
    try:
        worker = get_worker()
    except ValueError:
        return
    if worker.address.startswith("inproc:"):
        return
    worker.log_event(BEGUN, (worker.get_current_task(), worker.address))
    if suspect:
        time.sleep(HEARD)


def end(receipt: Receipt) -> None:
    """Say how the task of this thread ended."""
    try:
        worker = get_worker()
    except ValueError:
        return
    worker.log_event(ENDED, (worker.get_current_task(), pickle.dumps(receipt)))


def opened(receipt: bytes) -> Receipt:
    """A receipt as it was said."""
    return cast("Receipt", pickle.loads(receipt))


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
