"""Short ways to fill a store: the content of an item is a function of its key, so a wrong read is seen."""

from __future__ import annotations

import io
import struct
import zipfile
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


def file_of(root: Path, name: str) -> Path:
    """Where a block lies in a store's folder."""
    return Path(root) / medium.place_of(name)


def spans(data: bytes) -> dict[str, slice]:
    """Where a block's files lie in it, as zipfile finds them."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        listed = archive.infolist()
    found = {}
    for about in listed:
        name, extra = struct.unpack_from("<HH", data, about.header_offset + 26)
        start = about.header_offset + 30 + name + extra
        found[about.filename] = slice(start, start + about.file_size)
    return found


def chunk_of(data: bytes) -> slice:
    """Where a block's first chunk lies in it."""
    return next(span for path, span in spans(data).items() if not path.endswith(".json"))


def flip(data: bytes, at: int, bit: int = 1) -> bytes:
    """The data with a bit changed."""
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]


def hurt(path: Path) -> None:
    """Change a bit of a block's first chunk."""
    data = path.read_bytes()
    path.write_bytes(flip(data, chunk_of(data).start))


def run_folder(folder: Path, *numbers: int) -> Path:
    """A run's folder that lists items."""
    folder.mkdir(parents=True)
    np.savez(folder / "keys.npz", image=np.array([key(n) for n in numbers] + [""], dtype="S40"))
    return folder


def used(store: Store, name: str, when: float) -> None:
    """As if a block was last used then."""
    store.index.database.transact(lambda c: c.execute("UPDATE blocks SET used = ? WHERE name = ?", (when, name)))
