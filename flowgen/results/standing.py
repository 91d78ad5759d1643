"""What a run stands on: held in the store while it goes on, and listed in its folder for who collects later."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from numpy.typing import NDArray

from flowgen.execute.driver import Tally
from flowgen.execute.events import Silent
from flowgen.execute.task import Receipt
from flowgen.plan.plan import Plan, states_of
from flowgen.results.files import whole
from flowgen.store import Store, Unwritable, briefly
from flowgen.store.reach import RENAMED, STORED, packed


class Standing(Silent):
    """What one run stands on, held as long as the context lasts."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = folder
        self.store = store
        self.holds = ExitStack()
        self.renamed: list[tuple[bytes, ExitStack]] = []
        """keys that weren't planned, each part with what holds it, the largest first"""

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Let all go."""
        self.close()

    def close(self) -> None:
        """Let all go. What a store that is away isn't told is over with this process."""
        for hold in (self.holds, *(hold for _, hold in self.renamed)):
            with briefly(), suppress(OSError, Unwritable):
                hold.close()

    def on(self, plan: Plan) -> None:
        """Hold and list it before a plan is run: runs that are stopped have a list too. A later plan has the same."""
        keys = plan.stored_keys()
        if not (self.folder / STORED).exists():
            write_keys(self.folder / STORED, keys)
        self.holds.enter_context(self.store.leases.hold(packed(np.concatenate([np.zeros(0, "S40"), *keys.values()]))))

    def done(self, receipt: Receipt) -> None:
        """Hold and list what is made in place of what was planned."""
        if keys := bytes.fromhex("".join(receipt.renamed.values())):
            with (self.folder / RENAMED).open("ab") as file:
                file.write(keys)
            self.hold(keys)

    def hold(self, keys: bytes) -> None:
        """Hold more keys, by few leases whatever comes: who claims something looks at all there are."""
        smaller = []
        while self.renamed and len(self.renamed[-1][0]) <= len(keys):
            before, hold = self.renamed.pop()
            keys += before
            smaller.append(hold)
        more = ExitStack()
        more.enter_context(self.store.leases.hold(keys))
        self.renamed.append((keys, more))
        for hold in smaller:
            hold.close()

    def settle(self, plan: Plan, tally: Tally) -> None:
        """List what there is of it when all is done: results under the keys that they have, without what failed, and of
        states, of which known and failed items may never have stored any, those in the store.
        """
        instead, states = tally.instead, set(map(states_of, plan.keying.trajectories))
        with np.load(self.folder / STORED, allow_pickle=False) as listed:
            if not instead and not states.intersection(listed.files):
                return
            keys = {name: listed[name] for name in listed.files}
        for name, column in keys.items():
            keys[name] = column[self.store.has(column)] if name in states else replaced(column, instead)
        write_keys(self.folder / STORED, keys)
        (self.folder / RENAMED).unlink(missing_ok=True)


def replaced(keys: NDArray[np.bytes_], instead: Mapping[bytes, bytes]) -> NDArray[np.bytes_]:
    """Keys, some of them replaced."""
    if not instead:
        return keys
    return np.array([instead.get(key, key) for key in keys.ravel().tolist()], dtype=keys.dtype).reshape(keys.shape)


def write_keys(path: Path, keys: Mapping[str, NDArray[np.bytes_]]) -> None:
    """Keys by name, in one file that numpy reads; written by hand, as ``np.savez`` takes no array named ``file``."""
    with whole(path) as aside, ZipFile(aside, "w", ZIP_DEFLATED) as archive:
        for name, column in keys.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, column, allow_pickle=False)
