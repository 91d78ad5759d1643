"""Which items runs stand on: the keys that a run's folder lists, and pins that keep them in the store."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from flowgen.errors import UserError
from flowgen.store import keys as key_format
from flowgen.store.key_columns import DTYPE
from flowgen.store.lease import split
from flowgen.store.store import Store

PINS, SUFFIX = "pins", ".keys"
STORED, KEYS = FILES = ("stored.npz", "keys.npz")
"""of a run's folder: all items that it stands on, by node; those of its outputs, one for each point"""
RENAMED = "renamed.keys"
"""of the folder of a run that isn't finished: items that it stored under other keys than were planned, 20 bytes each"""
EVENTS = "events.jsonl"
"""of a run's folder from its start, when it isn't planned yet"""


def packed(keys: NDArray[Any]) -> bytes:
    """The keys of an array of texts of 40 characters, 20 bytes each; an empty text is no key."""
    texts = np.asarray(keys).astype("S40").ravel()
    return bytes.fromhex(texts[texts != b""].tobytes().decode())


def run_keys(folder: Path) -> set[bytes]:
    """The items that a run's folder lists. Raises UserError if it is none."""
    found: set[bytes] = set()
    files = [folder / name for name in FILES if (folder / name).is_file()]
    if unplanned(folder):
        raise UserError(f"the run of '{folder}' isn't planned yet: it stands on nothing")
    if not files:
        raise UserError(f"'{folder}' is no run's folder", hint="it holds no keys.npz; 'flowgen run' prints the folder")
    for file in files:
        try:
            with np.load(file, allow_pickle=False) as arrays:
                for name in arrays.files:
                    found.update(split(packed(arrays[name])))
        except (ValueError, OSError, BadZipFile) as error:
            raise UserError(f"'{file}' can't be read: {error}") from None
    if (folder / RENAMED).is_file():
        found.update(split((folder / RENAMED).read_bytes()))
    return found


def listed(folder: Path, node: str) -> NDArray[np.bytes_]:
    """The items of a node that a run's folder lists; none where that can't be read."""
    try:
        with np.load(folder / STORED, allow_pickle=False) as arrays:
            return np.asarray(arrays[node], dtype=DTYPE)
    except (KeyError, ValueError, OSError, BadZipFile):
        return np.zeros(0, dtype=DTYPE)


def keys_of(folders: Iterable[Path]) -> set[bytes]:
    """The items of several runs; those that weren't planned yet stand on nothing. Raises UserError if that is all."""
    known = list(folders)
    planned = [folder for folder in known if not unplanned(folder)]
    return set().union(*map(run_keys, planned or known))


def unplanned(folder: Path) -> bool:
    """Whether it is the folder of a run that is being planned, or ended before it was."""
    return (folder / EVENTS).is_file() and not any((folder / name).is_file() for name in FILES)


def pin(store: Store, folder: Path) -> int:
    """Keep a run's items whatever is collected; how many. Raises UserError."""
    held = run_keys(folder)
    store.medium.put(pin_name(folder), b"".join(sorted(held)), lasting=True)
    return len(held)


def unpin(store: Store, folder: Path) -> None:
    """Let a run's items go when something is collected. Raises UserError if it isn't pinned."""
    there = {entry.name for entry in store.medium.entries(PINS)}
    listed = f"{PINS}/{folder.name}{SUFFIX}"  # a pin's name, as listed
    name = next((name for name in (pin_name(folder), listed) if name in there), None)
    if name is None:
        names = ", ".join(pins(store)) or "none"
        raise UserError(f"'{folder}' isn't pinned", hint=f"pinned: {names}")
    store.medium.delete([name])


def pins(store: Store) -> dict[str, int]:
    """Names of the pins, and how many items each keeps."""
    found = sorted(store.medium.entries(PINS), key=lambda entry: entry.name)
    return {entry.name.removeprefix(f"{PINS}/").removesuffix(SUFFIX): entry.size // 20 for entry in found}


def protected(store: Store) -> set[bytes]:
    """Items that nothing removes: pinned, or needed by a living run."""
    found = store.leases.held()
    for got in store.medium.get(entry.name for entry in store.medium.entries(PINS)).values():
        found.update(split(got.data))
    return found


def pin_name(folder: Path) -> str:
    """A pin's name: the folder's, and a digest of its place, since names may repeat."""
    place = key_format.digest("pin", str(folder.resolve()))[:8]
    return f"{PINS}/{folder.resolve().name}-{place}{SUFFIX}"
