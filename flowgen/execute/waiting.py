"""A parcel's items are computed by whoever claims them first; the others wait for them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator

from flowgen.execute.failures import select
from flowgen.plan.program import Parcel
from flowgen.store import Store

FIRST, LONGEST = 0.02, 0.5
"""seconds between two looks at what another process computes, about: chance parts those that claimed at one time"""


def shares(
    parcel: Parcel, store: Store, waiting: Callable[[int], None], stopped: Callable[[], bool]
) -> Generator[Parcel, None, None]:
    """Parts of a parcel to compute now, each claimed until the next is asked for; ends when nothing is left.

    Items that are in the store are left out. Free ones come first, so that nobody waits while he holds a claim, and
    what others compute is taken over if they die or fail. ``waiting`` is told how many items are waited for,
    ``stopped`` says whether the run was stopped.
    """
    left, told, pause = parcel, False, FIRST
    while len(left) and not stopped():
        with store.leases.claim(left.keys) as claim:
            if claim.took_over or claim.missed:
                store.sync()  # the dead owner may have published without saying so
            store.learn(claim.news)
            known = finished(left, store)  # after the claim: who publishes does so before he lets go
            mine = [n for n, key in enumerate(left.keys) if key in claim.mine and key not in known]
            others = [n for n, key in enumerate(left.keys) if key not in claim.mine and key not in known]
            if mine:
                yield select(left, mine) if len(mine) < len(left) else left
        if not others:
            return
        left, pause = select(left, others), FIRST if mine else min(LONGEST, 2 * pause)
        if not told:
            waiting(len(others))
            told = True
        wait(left, store, pause, stopped)


def finished(parcel: Parcel, store: Store) -> set[str]:
    """The items that are in the store, with all states of theirs that a trajectory shows."""
    wanted = [[save.key for save in saves if save.wanted] for saves in parcel.saves] or [[]] * len(parcel)
    known = store.find([*parcel.keys, *(key for states in wanted for key in states)])
    return {key for key, states in zip(parcel.keys, wanted, strict=True) if all(k in known for k in (key, *states))}


def wait(parcel: Parcel, store: Store, pause: float, stopped: Callable[[], bool]) -> None:
    """Until some of the items are free or in the store, or the run is stopped."""
    while len(parcel) and not stopped():
        time.sleep(pause * random.random())
        if len(store.leases.claimed(parcel.keys)) < len(parcel) or finished(parcel, store):
            return
        pause = min(LONGEST, pause * 1.5)
