"""Processes of two machines that do everything to one store at once: whatever they read is right, or Lost."""

import multiprocessing
import random
import traceback
from contextlib import suppress

import pytest
from storing import file_of, get, key, known, put

from flowgen.store import Lost, Store, processes
from flowgen.store import compact as compacting
from flowgen.store import store as store_module
from flowgen.store.collect import choose, collect, keep_within

ITEMS = 60
PROCESSES = 4
OPERATIONS = 500


def write(rng, store):
    put(store, *rng.sample(range(ITEMS), rng.randint(1, 6)), by=rng.random())


def read(rng, store):
    """What is known is right, or lost since; an item holds its own number."""
    numbers = sorted(known(store, *rng.sample(range(ITEMS), 8)))
    if rng.random() < 0.7:
        store.recent.clear()
    assert not numbers or get(store, *numbers) == [float(n) for n in numbers]


def claim(rng, store):
    """An item is never claimed by two at once."""
    keys = [key(n) for n in rng.sample(range(ITEMS), 5)]
    with store.leases.claim(keys) as claim:
        assert claim.mine <= store.leases.claimed(keys)
        owned = [store.path / "owned" / key for key in claim.mine]
        for path in owned:
            path.touch(exist_ok=False)
        for path in owned:
            path.unlink()
        store.learn(claim.news)


def collecting(rng, store):
    found = choose(store, keep=rng.randrange(20_000))
    collect(store, found.going[:4])


def limit(rng, store):
    keep_within(store, 60_000)


def compact(rng, store):
    wanted = {bytes.fromhex(key(n)) for n in range(ITEMS) if n % 3}
    compacting.compact(store, compacting.plan(store, wanted if rng.random() < 0.3 else None)[:3])


def delete_index(rng, store):
    for path in store.path.glob("index-*.sqlite*"):
        path.unlink(missing_ok=True)


def hurt(rng, store):
    """A byte of a block changes on the disk."""
    names = sorted(store.on_disk())
    with suppress(FileNotFoundError):  # collected meanwhile
        if names:
            with open(file_of(store.path, rng.choice(names)), "r+b") as file:
                file.seek(rng.randrange(1000))
                file.write(b"\xff")


def verify(rng, store):
    store.verify()


def reopen(rng, store):
    store.sync()
    store.rebuild_index()


WEIGHTS = {
    write: 30,
    read: 40,
    claim: 10,
    collecting: 4,
    limit: 3,
    compact: 4,
    delete_index: 1,
    hurt: 3,
    verify: 1,
    reopen: 1,
}


def work(root, seed, failures, tally):
    """A process, every second on another machine: operations drawn at random. No exception but Lost."""
    rng = random.Random(seed)
    if seed % 2:
        processes.place = store_module.machine = lambda: "elsewhere"
    try:
        store = Store(root)
        for _ in range(OPERATIONS):
            (operation,) = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
            try:
                operation(rng, store)
            except Lost:
                tally.put("lost")
            else:
                tally.put(operation.__name__)
        tally.put(store.index.path.name)
    except BaseException:
        failures.put(traceback.format_exc())
        raise


@pytest.mark.slow
def test_whatever_processes_do_at_once_no_read_is_wrong(tmp_path):
    context = multiprocessing.get_context("fork")
    (tmp_path / "owned").mkdir()
    failures, tally = context.Manager().Queue(), context.Manager().Queue()
    children = [context.Process(target=work, args=(tmp_path, seed, failures, tally)) for seed in range(PROCESSES)]
    for child in children:
        child.start()
    for child in children:
        child.join(300)
    assert failures.empty(), failures.get()
    assert [child.exitcode for child in children] == [0] * PROCESSES
    done = [tally.get() for _ in range(tally.qsize())]
    assert len(done) == PROCESSES * (OPERATIONS + 1)
    assert len({name for name in done if name.startswith("index-")}) == 2  # machines
    assert {operation.__name__ for operation in WEIGHTS} <= set(done)
    store = Store(tmp_path)
    store.verify()
    store.rebuild_index()
    left = sorted(known(store, *range(ITEMS)))
    assert not left or get(store, *left) == [float(n) for n in left]
    assert list((tmp_path / "tmp").iterdir()) == [] == list((tmp_path / "owned").iterdir())
