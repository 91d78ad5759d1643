"""The fields of each event that are read again: a record from a file is applied or told only if it has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowgen.execute.records import Record, seconds_of

Kind = Callable[[Any], bool]
LARGEST = 10**18
"""no count, size or time of a run is larger"""


def text(value: Any) -> bool:
    """A string."""
    return isinstance(value, str)


def count(value: Any) -> bool:
    """A whole number of things."""
    return type(value) is int and 0 <= value <= LARGEST


def number(value: Any) -> bool:
    """A number that isn't negative, infinite or NaN."""
    return type(value) in (int, float) and 0 <= value <= LARGEST


def optional(kind: Kind) -> Kind:
    """Null instead."""
    return lambda value: value is None or kind(value)


def by_name(kind: Kind) -> Kind:
    """An object whose values are all of a kind."""
    return lambda value: isinstance(value, dict) and all(map(kind, value.values()))


def having(**kinds: Kind) -> Kind:
    """An object with these fields, and any others."""
    return lambda value: isinstance(value, dict) and all(name in value and kinds[name](value[name]) for name in kinds)


NODE = having(items=count, known=count, compute=count, flops=number, seconds=optional(number))
TOTALS = {"computed": count, "compute": count, "failed": count, "deaths": count, "sent_again": count, "seconds": number}
EVENTS: dict[str, Kind] = {
    "started": having(graph=text, store=text, host=text, pid=count, born=text),
    "planned": having(compute=count, parcels=count, seconds=optional(number), nodes=by_name(NODE)),
    "workers": having(count=count, dashboard=optional(text)),
    "under_way": having(node=text, parcel=count, items=count, share=number, seconds=number),
    "parcel": having(node=text, parcel=count, items=count, known=count, seconds=number),
    "failed_items": having(node=text, items=count, causes=by_name(count)),
    "sent_again": having(node=text, items=count),
    "note": having(message=text),
    "writing": having(what=text, done=count, total=count),
    "finished": having(**TOTALS),
    "stopped": having(**TOTALS),
    "failed": having(**TOTALS, causes=by_name(text)),
}


def sound(found: Record) -> bool:
    """Whether a record is as docs/long_runs.md describes it; events that this version doesn't know may be anything."""
    try:
        seconds_of(found["time"])
    except (ValueError, OverflowError):
        return False
    kind = EVENTS.get(found["event"])
    return kind is None or kind(found)
