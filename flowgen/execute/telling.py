"""A run's records in words, one line each, with the time of day here."""

from __future__ import annotations

import time
from collections.abc import Callable

from flowgen.execute.fields import sound
from flowgen.execute.records import Record, seconds_of
from flowgen.execute.view import rate, retries
from flowgen.language.labels import readable
from flowgen.store.quantities import counted, duration


def told(found: Record) -> str:
    """A record as a line; empty for one that this version doesn't know, or that can't be read."""
    if found["event"] not in WORDS or not sound(found):
        return ""
    clock = time.strftime("%H:%M:%S", time.localtime(seconds_of(found["time"])))
    return readable(f"{clock}  {WORDS[found['event']](found)}")


def started(found: Record) -> str:
    """Who runs what."""
    return f"started {found['graph']}: process {found['pid']} on {found['host']}, {found['time']}"


def planned(found: Record) -> str:
    """What is to be done."""
    todo = [f"{name} {about['compute']}" for name, about in found["nodes"].items() if about["compute"]]
    if not todo:
        return "planned: all is known"
    seconds = "" if found["seconds"] is None else f", {duration(found['seconds'])} expected"
    parcels = counted(found["parcels"], "parcel")
    return f"planned: {counted(found['compute'], 'item')} in {parcels}{seconds}: {', '.join(todo)}"


def workers(found: Record) -> str:
    """Who is there."""
    return counted(found["count"], "worker") + (f", {found['dashboard']}" if found["dashboard"] else "")


def parcel(found: Record) -> str:
    """What was computed."""
    items, seconds = found["items"], found["seconds"]
    others = f", {found['known']} known by then" if found["known"] else ""
    if items and not seconds:
        return f"{found['node']}: {counted(items, 'item')} of a task that was cut short{others}"
    each = f", {rate(items / seconds)}" if items and seconds else ""
    return f"{found['node']}: {counted(items, 'item')} in {duration(seconds)}{each}{others}"


def under_way(found: Record) -> str:
    """How far a task is."""
    return f"{found['node']}: {found['share']:.0%} of {counted(found['items'], 'item')} in {duration(found['seconds'])}"


def failed_items(found: Record) -> str:
    """What wasn't."""
    return f"{found['node']}: {counted(found['items'], 'item')} failed: {'; '.join(found['causes'])}"


def writing(found: Record) -> str:
    """What is written."""
    return f"writing {found['what']}: {found['done']}/{found['total']}"


def ended(found: Record) -> str:
    """How it ended."""
    parts = [f"{found['event']} after {duration(found['seconds'])}"]
    parts.append(f"computed {found['computed']} of {counted(found['compute'], 'item')}")
    kept = found.get("kept", found["computed"])
    parts += [f"{kept} are in the store"] if kept != found["computed"] else []
    parts += [f"{found['failed']} failed"] if found["failed"] else []
    parts += retries(found["deaths"], found["sent_again"])
    parts += [f"'{node}': {cause}" for node, cause in found.get("causes", {}).items()]
    return "; ".join(parts)


WORDS: dict[str, Callable[[Record], str]] = {
    "started": started,
    "planned": planned,
    "workers": workers,
    "under_way": under_way,
    "parcel": parcel,
    "failed_items": failed_items,
    "sent_again": lambda found: f"{found['node']}: {counted(found['items'], 'item')} sent again",
    "writing": writing,
    "stopping": lambda found: "stopping: batches in hand are finished",
    "note": lambda found: str(found["message"]),
    "finished": ended,
    "stopped": ended,
    "failed": ended,
}
"""by event; a worker's death has a note beside it"""
