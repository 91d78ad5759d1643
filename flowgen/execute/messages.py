"""What a task says: words for the user; that it begins, so that it is known of what a worker died; how far it is; and
how it ended.

It says its receipt, which it also returns: to fetch that takes two ways and many steps of Dask's.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from distributed import Client, get_worker

if TYPE_CHECKING:
    from flowgen.execute.task import Receipt

NOTES, BEGUN, STRIDES, ENDED = "flowgen-notes", "flowgen-begun", "flowgen-strides", "flowgen-ended"
"""topics: words for the user; which task begins where; how far one is; which has ended, with its receipt"""
HERE: set[Callable[[str, bytes], None]] = set()
"""who hears of this process's own tasks that they ended"""
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
    if shared(worker):
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


def end(receipt: Receipt) -> None:
    """Say how the task of this thread ended."""
    try:
        worker = get_worker()
    except ValueError:
        return
    said = worker.get_current_task(), pickle.dumps(receipt)
    if shared(worker):
        for hear in tuple(HERE):
            hear(*said)
    else:
        worker.log_event(ENDED, said)


def shared(worker: Any) -> bool:
    """Whether a worker is in its driver's process."""
    return bool(worker.address.startswith("inproc:"))


@contextmanager
def listening(client: Client, topics: Mapping[str, Callable[..., None]]) -> Iterator[None]:
    """Hear what tasks say by topic, perhaps others' tasks too: each says its key first."""
    for topic, hear in topics.items():
        client.subscribe_topic(topic, lambda event, hear=hear: hear(*event[1]))
    HERE.add(topics[ENDED])
    try:
        yield
    finally:
        HERE.discard(topics[ENDED])
    for topic in topics:
        client.unsubscribe_topic(topic)


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
