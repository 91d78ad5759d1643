"""Which items runs stand on: the keys that a run's folder lists, and pins that keep them in the store."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from flowgen.errors import UserError
from flowgen.store import keys as key_format
from flowgen.store.leases import split
from flowgen.store.store import Store

FILES = ("stored.npz", "keys.npz")
"""of a run's folder: all items that it stands on, by node; those of its outputs, one for each point"""


def packed(keys: NDArray[Any]) -> bytes:
    """The keys of an array of texts of 40 characters, 20 bytes each; an empty text is no key."""
    texts = np.asarray(keys).astype("S40").ravel()
    return bytes.fromhex(texts[texts != b""].tobytes().decode())


def run_keys(folder: Path) -> set[bytes]:
    """The items that a run's folder lists. Raises UserError if it is none."""
    found: set[bytes] = set()
    files = [folder / name for name in FILES if (folder / name).is_file()]
    if not files:
        raise UserError(f"'{folder}' is no run's folder", hint="it holds no keys.npz; 'flowgen run' prints the folder")
    for file in files:
        try:
            with np.load(file, allow_pickle=False) as arrays:
                for name in arrays.files:
                    found.update(split(packed(arrays[name])))
        except (ValueError, OSError, BadZipFile) as error:
            raise UserError(f"'{file}' can't be read: {error}") from None
    return found


def keys_of(folders: Iterable[Path]) -> set[bytes]:
    """The items of several runs. Raises UserError."""
    return set().union(*(run_keys(folder) for folder in folders))


def pin(store: Store, folder: Path) -> int:
    """Keep a run's items whatever is collected; how many. Raises UserError."""
    held = run_keys(folder)
    target = pin_file(store, folder)
    target.parent.mkdir(exist_ok=True)
    aside = store.path / "tmp" / uuid.uuid4().hex
    with open(aside, "wb") as file:
        file.write(b"".join(sorted(held)))
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, target)
    return len(held)


def unpin(store: Store, folder: Path) -> None:
    """Let a run's items go when something is collected. Raises UserError if it isn't pinned."""
    target = pin_file(store, folder)
    if not target.exists():
        target = store.path / "pins" / f"{folder.name}.keys"  # a pin's name, as listed
    try:
        target.unlink()
    except FileNotFoundError:
        names = ", ".join(pins(store)) or "none"
        raise UserError(f"'{folder}' isn't pinned", hint=f"pinned: {names}") from None


def pins(store: Store) -> dict[str, int]:
    """Names of the pins, and how many items each keeps."""
    files = sorted((store.path / "pins").glob("*.keys"))
    return {file.stem: file.stat().st_size // 20 for file in files}


def protected(store: Store) -> set[bytes]:
    """Items that nothing removes: pinned, or needed by a living run."""
    found = store.leases.held()
    for file in (store.path / "pins").glob("*.keys"):
        found.update(split(file.read_bytes()))
    return found


def pin_file(store: Store, folder: Path) -> Path:
    """A pin's file: the folder's name, and a digest of its place, since names may repeat."""
    place = key_format.digest("pin", str(folder.resolve()))[:8]
    return store.path / "pins" / f"{folder.resolve().name}-{place}.keys"
