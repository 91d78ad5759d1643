"""Disks that refuse, and disks that lie: nothing half-written is read, nothing damaged is answered."""

import errno
import os
import random
import shutil
from contextlib import nullcontext, suppress

import pytest
from storing import file_of, flip, get, key, known, latents, put, spans

from flowgen.store import Lost, Store, Unreachable, Unwritable, aside, block, patience
from flowgen.store.collect import keep_within

CALLS = {"mkdir": 1, "writev": 6, "fsync": 3, "replace": 1}
"""of one publish, at least: a file whose numbers are written first, in four parts, its folder, which is new, and the
folder of that"""
ERRORS = {
    errno.ENOSPC: "is full",
    errno.EIO: "reports an error",
    errno.EROFS: "is read-only",
    errno.EACCES: "can't be written: Permission denied",
}


def failing(monkeypatch, name, at, number):
    """One call of the system fails, the ``at``-th; how many there were so far."""
    original, seen = getattr(os, name), [0]

    def call(*arguments, **options):
        seen[0] += 1
        if seen[0] == at:
            raise OSError(number, os.strerror(number))
        return original(*arguments, **options)

    monkeypatch.setattr(os, name, call)
    return seen


def count(tmp_path, monkeypatch, name):
    """How often a publish makes a call."""
    store = Store(tmp_path / "count")
    with monkeypatch.context() as patch:
        seen = failing(patch, name, -1, 0)
        put(store, 1)
    return seen[0]


@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("name", list(CALLS))
def test_each_call_of_a_publish_fails_once(tmp_path, monkeypatch, name, number):
    for module in (aside, block):
        monkeypatch.setattr(module, "LARGE", 1)
    total = count(tmp_path, monkeypatch, name)
    assert total >= CALLS[name]
    store = Store(tmp_path / "store")
    put(store, 0)
    for at in range(1, total + 1):
        with monkeypatch.context() as patch:
            failing(patch, name, at, number)
            with pytest.raises(Unwritable, match=ERRORS[number]) as caught:
                put(store, at)
        assert "what was published is kept" in caught.value.hint
        assert list((store.path / "tmp").iterdir()) == []
        assert known(store, 0, at) == {0}
        fresh = Store(store.path)
        fresh.rebuild_index()
        for n in known(fresh, at):  # only the folder's last sync failed: a whole block or none
            assert name == "fsync" and get(fresh, n) == [n]
        put(store, at, again=True)
        assert get(store, at, 0) == [at, 0]
    assert store.verify() == []


def test_what_is_written_in_parts_and_by_calls_that_write_less_is_whole(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    whole = file_of(store.path, put(store, 1)).read_bytes()
    original = os.writev
    for limit in (1, 100, 10**6):
        monkeypatch.setattr(os, "writev", lambda f, data, n=limit: original(f, [memoryview(b"".join(data))[:n]]))
        for large in (1, 64, 10**6):
            for module in (aside, block):
                monkeypatch.setattr(module, "LARGE", large)
            other = Store(tmp_path / f"store-{limit}-{large}")
            assert file_of(other.path, put(other, 1)).read_bytes() == whole


def test_an_index_that_can_not_be_written_is_said_and_the_block_is_found_later(tmp_path, monkeypatch):
    store = Store(tmp_path)
    pages = store.index.database.connection.execute("PRAGMA page_count").fetchone()[0]
    store.index.database.connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Unwritable, match=r"index of the store .* can't be written"):
        put(store, *range(4000))
    assert known(store, 0, 1) == set()
    store.close()
    again = Store(tmp_path)
    assert known(again, 0, 1) == {0, 1}
    assert get(again, 1, 0) == [1, 0]


def damage(rng, path):
    """Flip a bit, cut, or delete a file; what was done."""
    data = path.read_bytes()
    how = rng.choice(["flip", "flip", "cut", "delete", "empty"])
    if how == "flip":
        at = rng.randrange(len(data))
        path.write_bytes(data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :])
    elif how == "cut":
        path.write_bytes(data[: rng.randrange(len(data))])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    return how


def damage_block(rng, path):
    """Damage a block; which part of it, all parts alike often."""
    data = path.read_bytes()
    parts = {"chunk": [], "metadata": [], "manifest": [], "frame": []}
    inside = spans(data)
    for name, span in inside.items():
        parts[{"block.json": "manifest"}.get(name, "metadata" if name.endswith("json") else "chunk")] += [
            *range(span.start, span.stop)
        ]
    parts["frame"] = sorted(set(range(len(data))).difference(*parts.values()))
    kind = rng.choice([*parts, "whole"])
    if kind == "whole":
        damage(rng, path)
    else:
        path.write_bytes(flip(data, rng.choice(parts[kind]), 1 << rng.randrange(8)))
    return kind


def test_a_thousand_damages_to_blocks_are_all_found(tmp_path):
    """Whatever is hit: on reading, each is a miss that names the block, and never an answer."""
    rng = random.Random(0)
    root = tmp_path / "store"
    store = Store(root)
    whole = tmp_path / "whole"
    blocks = {put(store, n, n + 1): [n, n + 1] for n in range(0, 50, 2)}
    shutil.copytree(root / "blocks", whole)
    hit = dict.fromkeys(["chunk", "metadata", "manifest", "frame", "whole"], 0)
    for _ in range(1000 // len(blocks)):
        for name in blocks:
            hit[damage_block(rng, file_of(root, name))] += 1
        store.recent.clear()
        there = store.on_disk()
        for name, items in blocks.items():
            with pytest.raises(Lost) as caught:
                get(store, *items)
            assert set(caught.value.keys) == {key(n) for n in items}
            assert (f"block {name[:8]} is damaged" if name in there else "gone") in str(caught.value)
        assert known(store, *range(50)) == set()
        fate = store.fate(map(key, range(50)))
        assert len(fate) >= 2 * len(there) and all(gone.reason.startswith("damaged: ") for gone in fate.values())
        assert len(list((root / "damaged").iterdir())) == len(there) >= len(blocks) // 2
        shutil.rmtree(root / "damaged")
        shutil.copytree(whole, root / "blocks", dirs_exist_ok=True)  # computed again
        store.sync()
        assert get(store, *range(50)) == list(range(50))
    assert min(hit.values()) > 100


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_index_never_gives_a_wrong_answer(tmp_path, seed):
    rng = random.Random(seed)
    root = tmp_path / "store"
    store = Store(root)
    for n in range(0, 40, 4):
        put(store, *range(n, n + 4))
    store.close()
    whole = {p.name: p.read_bytes() for p in root.glob("index-*.sqlite*")}
    for _ in range(60):
        for path in root.glob("index-*.sqlite*"):
            path.unlink()
        for name, data in whole.items():
            (root / name).write_bytes(data)
        damage(rng, store.index.path)
        hurt = Store(root)
        numbers = rng.sample(range(40), 12)
        found = sorted(known(hurt, *numbers))
        with suppress(Lost):
            assert not found or get(hurt, *found) == found
        hurt.rebuild_index()
        assert get(hurt, *numbers) == numbers  # nothing but the index was hurt
        hurt.close()


def test_a_row_that_the_index_gets_wrong_is_not_answered(tmp_path):
    store = Store(tmp_path)
    put(store, 1, 2, 3)
    store.index.database.transact(lambda c: c.execute("UPDATE items SET row = 2 - row"))
    assert get(store, 1, 3) == [1, 3]
    assert store.find([key(3)])[key(3)].row == 2
    store.index.database.transact(lambda c: c.execute("UPDATE items SET row = 99"))
    assert get(store, 3) == [3]


def test_an_index_deleted_under_an_open_store_is_made_anew(tmp_path):
    one, two = Store(tmp_path), Store(tmp_path)
    put(one, 1)
    for path in tmp_path.glob("index-*.sqlite*"):
        path.unlink()
    put(two, 2)
    assert known(one, 1, 2) == known(two, 1, 2) == {1, 2}
    assert latents([1]).data.shape == (1, 1, 4, 4)


class Away:
    """A network file system that is away: calls of the system fail with an error until it is back."""

    def __init__(self, monkeypatch, number, times):
        self.left = times
        for name in ("open", "stat", "listdir", "scandir", "rename", "replace", "unlink"):
            monkeypatch.setattr(os, name, self.failing(getattr(os, name), number))
        monkeypatch.setattr("builtins.open", self.failing(open, number))

    def failing(self, original, number):
        def call(path, *arguments, **options):
            if self.left and "/store/" in str(path) and "/index-" not in str(path):
                self.left -= 1
                raise OSError(number, os.strerror(number))
            return original(path, *arguments, **options)

        return call


@pytest.mark.parametrize("number", [errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN], ids=errno.errorcode.get)
def test_a_file_system_that_is_away_for_a_moment_is_waited_for(tmp_path, monkeypatch, number):
    monkeypatch.setattr(patience, "FIRST", 0.001)
    store = Store(tmp_path / "store")
    put(store, 0)
    works = {
        "put": lambda: put(store, 1),
        "get": lambda: (store.recent.clear(), get(store, 0)),
        "claim": lambda: store.leases.claim([key(3)]).__enter__(),
        "sync": store.sync,
        "rebuild": store.rebuild_index,
        "collect": lambda: keep_within(store, 0),
    }
    for work in works.values():
        for times in (1, 3):
            with monkeypatch.context() as patch:
                away = Away(patch, number, times)
                work()
            assert away.left == 0
    assert list((store.path / "tmp").iterdir()) == []


@pytest.mark.parametrize("number", [errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN], ids=errno.errorcode.get)
def test_a_file_system_that_stays_away_is_said_and_nothing_is_taken_for_lost(tmp_path, monkeypatch, number):
    monkeypatch.setattr(patience, "PATIENCE", 0.1)
    store = Store(tmp_path / "store")
    put(store, 0)
    store.recent.clear()
    with monkeypatch.context() as patch:
        Away(patch, number, -1)
        for work in (lambda: put(store, 1), lambda: get(store, 0), store.sync, store.leases.held):
            with pytest.raises(Unreachable, match=r"the store .*/store didn't answer for 0 s: ") as caught:
                work()
            assert "what was published is kept" in caught.value.hint
    assert known(store, 0) == {0} and get(store, 0) == [0]
    assert not (store.path / "damaged").exists() or not list((store.path / "damaged").iterdir())


@pytest.mark.parametrize(("times", "lost"), [(1, False), (-1, True)])
def test_a_bad_disk_is_told_from_one_that_is_away_by_patience(tmp_path, monkeypatch, times, lost):
    """EIO is what both answer: it passes, or the block counts as damaged."""
    monkeypatch.setattr(patience, "PATIENCE", 0.3)
    store, left = Store(tmp_path / "store"), [times]
    put(store, 0)
    store.recent.clear()
    whole = open

    def bad(path, *arguments, **options):
        if str(path).endswith(".zip") and left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return whole(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", bad)
        with pytest.raises(Lost, match="can't be read") if lost else nullcontext():
            get(store, 0)
    assert known(store, 0) == (set() if lost else {0})
