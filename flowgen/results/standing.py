"""What a run stands on: held in the store while it goes on, and listed in its folder for who collects later."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flowgen.plan.plan import Plan, states_of
from flowgen.results.files import whole
from flowgen.store import Store
from flowgen.store.reach import STORED, packed


class Standing(ExitStack):
    """What one run stands on, held as long as the context lasts."""

    def __init__(self, folder: Path, store: Store) -> None:
        super().__init__()
        self.list = folder / STORED
        self.store = store

    def on(self, plan: Plan) -> None:
        """Hold and list it before a plan is run: runs that are stopped have a list too. A later plan has the same."""
        keys = plan.stored_keys()
        if not self.list.exists():
            write_keys(self.list, keys)
        self.enter_context(self.store.leases.hold(packed(np.concatenate([np.zeros(0, "S40"), *keys.values()]))))

    def settle(self, plan: Plan) -> None:
        """List what there is of it when all is done: a known or failed item's states may never have been stored."""
        states = set(map(states_of, plan.keying.trajectories))
        with np.load(self.list, allow_pickle=False) as listed:
            if not states.intersection(listed.files):
                return
            keys = {name: listed[name] for name in listed.files}
        for name in states.intersection(keys):
            keys[name] = keys[name][self.store.has(keys[name])]
        write_keys(self.list, keys)


def write_keys(path: Path, keys: Mapping[str, NDArray[np.bytes_]]) -> None:
    """Keys by name, in one file."""
    with whole(path) as aside, aside.open("wb") as file:
        np.savez_compressed(file, **keys)  # type: ignore[arg-type]
