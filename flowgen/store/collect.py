"""What is removed from a store: blocks by age, by size, or because no run needs them; index and payload together."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from flowgen.store import keys as key_format
from flowgen.store import uses
from flowgen.store.index import About
from flowgen.store.medium import place_of
from flowgen.store.reach import protected
from flowgen.store.store import Store

AT_ONCE = 64
"""blocks removed in one transaction of the index"""
COLLECTING = key_format.digest("collect")
"""claimed by the process that removes or rewrites blocks"""


@dataclass(frozen=True, slots=True)
class Removal:
    """What would go, and what stays although it isn't wanted."""

    going: list[About] = field(default_factory=list)
    guarded: list[About] = field(default_factory=list)
    """blocks that would go, but hold items that are pinned or needed by a living run"""
    waste: int = 0
    """bytes of unwanted items in blocks that stay for their other items; ``compact`` frees them"""

    @property
    def bytes(self) -> int:
        """What is freed."""
        return sum(about.bytes for about in self.going)

    @property
    def items(self) -> int:
        """Items that go."""
        return sum(about.items for about in self.going)


def choose(
    store: Store, older: float | None = None, keep: int | None = None, wanted: set[bytes] | None = None
) -> Removal:
    """What goes: blocks not used for ``older`` seconds, blocks without a ``wanted`` item, and then the least recently
    used until the rest takes at most ``keep`` bytes. What is pinned or needed by a living run stays.
    """
    now = time.time()
    uses.hear(store)
    guarded = store.index.counts(protected(store))
    needed = store.index.counts(wanted) if wanted is not None else {}
    going: list[About] = []
    stay: list[About] = []
    left: list[About] = []
    for about in sorted(store.index.blocks(), key=lambda a: (a.used, a.published, a.name)):
        unwanted = wanted is not None and about.name not in needed
        chosen = unwanted or (older is not None and now - about.used > older)
        (left if not chosen else stay if about.name in guarded else going).append(about)
    excess = sum(about.bytes for about in left) + sum(about.bytes for about in stay) - (keep or 0)
    for about in list(left) if keep is not None else []:
        if excess <= 0:
            break
        if about.name in guarded:
            stay.append(about)
        else:
            going.append(about)
            excess -= about.bytes
        left.remove(about)
    waste = sum(
        about.bytes * (1 - max(needed.get(about.name, 0), guarded.get(about.name, 0)) / max(1, about.items))
        for about in ([*left, *stay] if wanted is not None else [])
    )
    return Removal(going, stay, int(waste))


def collect(store: Store, going: Sequence[About]) -> Removal:
    """Remove blocks, but for those that a living run needs by now; what went and what stayed."""
    with only_one(store):
        guarded = store.index.counts(protected(store))
        gone = [about for about in going if about.name not in guarded]
        for start in range(0, len(gone), AT_ONCE):
            part = [about.name for about in gone[start : start + AT_ONCE]]
            remove(store, part, "collected")
        if gone:  # blocks that stay may hold items of those that went
            store.enter_all(store.index.shadowed())
        return Removal(gone, [about for about in going if about.name in guarded])


@contextmanager
def only_one(store: Store) -> Iterator[None]:
    """One process of all machines at a time."""
    while True:
        with store.leases.claim([COLLECTING]) as claim:
            if claim.mine:
                yield
                return
        time.sleep(random.uniform(0.01, 0.2))


def remove(store: Store, names: Sequence[str], reason: str) -> None:
    """Take blocks away, then from the index. A reader that comes between gets Lost.

    A crash between leaves an index that the next opening corrects.
    """
    store.medium.delete(map(place_of, names))
    store.index.drop(names, reason)
    for name in names:
        store.forget(name)


def keep_within(store: Store, limit: int) -> Removal:
    """Remove the least recently used blocks until the store takes at most ``limit`` bytes; what went."""
    found = choose(store, keep=limit)
    return collect(store, found.going) if found.going else found
