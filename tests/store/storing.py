"""Short ways to fill a store: the content of an item is a function of its key, so a wrong read is seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from flowgen.store import Store, medium
from flowgen.values import Latent


def key(n: int) -> str:
    return f"{n:040x}"


def latents(numbers) -> Latent:
    """An item of 4x4 numbers for each, whose every number is its own."""
    return Latent(
        torch.tensor(list(numbers), dtype=torch.float32).reshape(-1, 1, 1, 1).expand(-1, 1, 4, 4).clone(), "t"
    )


def put(store: Store, *numbers: int, **about) -> str:
    """A block of such items."""
    return store.write([key(n) for n in numbers], {"value": latents(numbers)}, {"type": "test", **about})


def get(store: Store, *numbers: int) -> list[float]:
    """What the store answers for items."""
    ((_, found),) = store.read([key(n) for n in numbers], "value")
    assert (found.data == found.data[:, :1, :1, :1]).all()
    return found.data[:, 0, 0, 0].tolist()


def known(store: Store, *numbers: int) -> set[int]:
    """Those of some items that the store has."""
    return {int(k, 16) for k in store.find([key(n) for n in numbers])}


def folder_of(root: Path, name: str) -> Path:
    """Where a block lies in a store's folder."""
    return Path(root) / medium.folder_of(name)


def run_folder(folder: Path, *numbers: int) -> Path:
    """A run's folder that lists items."""
    folder.mkdir(parents=True)
    np.savez(folder / "keys.npz", image=np.array([key(n) for n in numbers] + [""], dtype="S40"))
    return folder


def used(store: Store, name: str, when: float) -> None:
    """As if a block was last used then."""
    store.index.database.transact(lambda c: c.execute("UPDATE blocks SET used = ? WHERE name = ?", (when, name)))
