"""The workers of a run: how many there are is told whenever it changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from distributed import Client
from distributed.client import ClosedClientError

from flowgen.execute.events import Events

TOPIC = "all"
"""where Dask's scheduler says who comes and goes"""
HERE, SIGNS = "flowgen-listens", 100
"""what shows that it is heard, and how often that is tried"""
ASKING = 2.0
"""seconds in which a dashboard answers"""


@dataclass(slots=True)
class Crew:
    """Who came and went."""

    gone: set[str] = field(default_factory=set)
    """addresses of those that went and weren't told to"""
    changes: int = 0
    """how often one came or went"""


@contextmanager
def crew(client: Client, events: Events) -> Iterator[Crew]:
    """Tell of a client's workers as long as the context lasts, and of the wish to stop if it ends by that.

    Gives who came and went, which goes on meanwhile.
    """
    there, found = set[str](), Crew()
    link, listening = dashboard(client), threading.Event()

    def heard(event: tuple[float, Any]) -> None:
        about = event[1] if isinstance(event[1], dict) else {}
        if about.get("action") == "add-worker":
            there.add(about["worker"])
        elif about.get("action") == "remove-worker":
            there.discard(about["worker"])
            if not about.get("expected"):
                found.gone.add(about["worker"])
        elif about.get("action") == HERE:
            listening.set()
            return
        else:
            return
        found.changes += 1
        if listening.is_set():
            events.workers(len(there), link)

    client.subscribe_topic(TOPIC, heard)
    for _ in range(SIGNS):  # who comes before the scheduler has understood is among those that it names
        client.log_event(TOPIC, {"action": HERE})
        if listening.wait(0.05):
            break
    there.update(client.nthreads())
    listening.set()
    events.workers(len(there), link)
    try:
        yield found
    except KeyboardInterrupt:
        events.stopping()
        raise
    finally:
        with suppress(ClosedClientError):  # else the scheduler tells a client of its own end
            client.unsubscribe_topic(TOPIC)


def dashboard(client: Client) -> str:
    """The address of the scheduler's dashboard; empty if it has none, or none that is reached from here."""
    try:
        link = client.dashboard_link or ""
    except (KeyError, OSError, ValueError):  # no such service; no connection
        return ""
    return link if not link.startswith("http") or answers(link) else ""


def answers(link: str) -> bool:
    """Whether there is a page: a scheduler that was started without dashboard names the port of its other pages."""
    at = urlsplit(link)
    kind = HTTPSConnection if at.scheme == "https" else HTTPConnection
    try:
        with closing(kind(at.hostname or "", at.port, timeout=ASKING)) as connection:
            connection.request("HEAD", at.path)
            return connection.getresponse().status != HTTPStatus.NOT_FOUND
    except (OSError, HTTPException):
        return False
