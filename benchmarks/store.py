"""How fast the store is: blocks against np.save and np.load of the same bytes, and look-ups among a million keys.

Ratios within one run: both ways take turns in random order, the medians are compared, and np.save is synced as a block
is (file and folder). Above 1 the store is faster. ``python benchmarks/store.py [--rounds N] [--keys N] [--folder DIR]``
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from flowgen.store import Store
from flowgen.store.block import read as read_block
from flowgen.store.index import About, Index
from flowgen.store.medium import place_of
from flowgen.store.processes import machine
from flowgen.values import Image, Latent, Record

SHAPES: dict[str, Callable[[], Record]] = {
    "latents 0.5 MB": lambda: Latent(torch.randn(8, 4, 64, 64), "bench"),
    "images 0.5 MB": lambda: Image(torch.rand(2, 3, 148, 148), (-1.0, 1.0)),
    "latents 8 MB": lambda: Latent(torch.randn(128, 4, 64, 64), "bench"),
    "images 8 MB": lambda: Image(torch.rand(10, 3, 264, 264), (-1.0, 1.0)),
}
AIMS = {"0.5 MB": (0.8, 0.4), "8 MB": (0.75, 0.4)}


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def save(folder: Path, array: np.ndarray, n: int) -> Path:
    """np.save, synced as a block is."""
    path = folder / f"{n}.npy"
    with open(path, "wb") as file:
        np.save(file, array)
        file.flush()
        os.fsync(file.fileno())
    sync(folder)
    return path


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def throughput(folder: Path, kind: str, rounds: int) -> tuple[float, float, float, float]:
    """Seconds to write and read: np, then the store."""
    value = SHAPES[kind]()
    (tensor,) = value.tensors().values()
    array, store = tensor.numpy(), Store(folder / "store")
    plain = folder / kind  # new files, as blocks are: to overwrite one is another matter
    plain.mkdir()
    for n in range(256):  # as in a store that is in use: the first block of a folder has to make it
        (folder / "store" / place_of(f"{n:02x}")).parent.mkdir(exist_ok=True)
    times: dict[str, list[float]] = {"save": [], "write": [], "load": [], "read": []}
    for n in range(rounds):
        keys = [os.urandom(20).hex() for _ in range(len(tensor))]
        made: dict[str, object] = {}

        def plainly(n: int = n, made: dict[str, object] = made) -> None:
            made["path"] = save(plain, array, n)

        def stored(keys: list[str] = keys, made: dict[str, object] = made) -> None:
            made["block"] = store.write(keys, {"value": value}, {"type": "bench"})

        for name, work in random.sample([("save", plainly), ("write", stored)], 2):
            times[name].append(seconds(work))
        loads: list[tuple[str, Callable[[], object]]] = [
            ("load", lambda made=made: np.load(made["path"])),  # type: ignore[misc]
            ("read", lambda made=made: read_block(store.medium, made["block"])),  # type: ignore[misc]
        ]
        for _ in range(3):
            for name, work in random.sample(loads, 2):
                times[name].append(seconds(work))
    store.close()
    return tuple(statistics.median(times[name]) for name in ("save", "load", "write", "read"))  # type: ignore[return-value]


def lookups(folder: Path, count: int) -> tuple[float, float]:
    """Keys a second, found among ``count``: in batches of 1000 as a plan asks, and one at a time."""
    index = Index(folder / "many.sqlite")
    keys = [os.urandom(20).hex() for _ in range(count)]
    for start in range(0, count, 1000):
        index.add(About(f"{start:040x}", "bench", 1000, 0, 0.0, 0.0), keys[start : start + 1000])
    some = random.sample(keys, min(count, 100_000))
    batched = seconds(lambda: [index.find(some[n : n + 1000]) for n in range(0, len(some), 1000)])
    single = seconds(lambda: [index.find([key]) for key in some[:5000]])
    index.close()
    return len(some) / batched, 5000 / single


def opening(folder: Path, count: int) -> tuple[float, float]:
    """Seconds to open a store of many blocks: the first time, and when nothing changed since."""
    for n in range(count):
        path = folder / "opened" / place_of(f"{n % 256:02x}{n:038x}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    index = Index(folder / "opened" / f"index-{machine()}.sqlite")
    for n in range(count):
        index.add(About(f"{n % 256:02x}{n:038x}", "bench", 1, 0, 0.0, 0.0), [f"{n:040x}"])
    index.close()
    time.sleep(2.5)
    first = seconds(lambda: Store(folder / "opened").close())
    return first, seconds(lambda: Store(folder / "opened").close())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--blocks", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=None, help="a folder on the disk to measure")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        for kind in SHAPES:
            save_s, load_s, write_s, read_s = throughput(folder, kind, given.rounds)
            aims = next(aim for size, aim in AIMS.items() if kind.endswith(" " + size))
            print(
                f"{kind}: write {save_s / write_s:.2f} of np.save (aim {aims[0]}; {write_s * 1e3:.1f} ms), "
                f"verified read {load_s / read_s:.2f} of np.load (aim {aims[1]}; {read_s * 1e3:.2f} ms)",
                flush=True,
            )
        many, one = lookups(folder, given.keys)
        print(f"{given.keys} keys: {many:.0f} look-ups a second in batches, {one:.0f} one at a time", flush=True)
        first, again = opening(folder, given.blocks)
        print(f"opening a store of {given.blocks} blocks: {first * 1e3:.0f} ms, and unchanged {again * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
