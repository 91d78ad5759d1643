"""A remembered digest is that of the file as it is."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time

import pytest
from storing import known, put

from flowgen.store import Store, file_digests


def sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


@pytest.fixture
def hashed(monkeypatch):
    """The files that were read, in order."""
    read: list[str] = []
    digest = hashlib.file_digest

    def noted(file, kind):
        read.append(file.name)
        return digest(file, kind)

    monkeypatch.setattr("hashlib.file_digest", noted)
    return read


@pytest.fixture
def file(tmp_path):
    found = tmp_path / "weights"
    found.write_bytes(b"one")
    return found


def later(monkeypatch, seconds: float) -> None:
    """The clock goes forward."""
    now = time.time_ns
    monkeypatch.setattr("time.time_ns", lambda: now() + int(seconds * 1e9))


def in_place(file, text: bytes) -> None:
    file.write_bytes(text)


def by_another(file, text: bytes) -> None:
    other = file.with_name("other")
    other.write_bytes(text)
    os.replace(other, file)


def test_a_file_is_read_once(tmp_path, file, hashed, monkeypatch):
    later(monkeypatch, 10)
    stores = Store(tmp_path / "store"), Store(tmp_path / "store")
    assert {store.file_digest(file) for store in (*stores, *stores)} == {sha256(b"one")}
    assert hashed == [str(file)]


@pytest.mark.parametrize("change", [in_place, by_another])
@pytest.mark.parametrize("moment", [None, 0])
def test_a_change_that_leaves_size_and_time_is_seen(tmp_path, file, monkeypatch, change, moment):
    later(monkeypatch, 10)
    os.utime(file, ns=(0, moment or file.stat().st_mtime_ns))
    before, store = file.stat(), Store(tmp_path / "store")
    assert store.file_digest(file) == sha256(b"one")
    change(file, b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert store.file_digest(file) == sha256(b"two")


def test_a_young_file_is_read_again(tmp_path, file, hashed, monkeypatch):
    """Its next change may leave even the time of change as it is, where that is counted coarsely."""
    store = Store(tmp_path / "store")
    assert [store.file_digest(file) for _ in range(2)] == [sha256(b"one")] * 2
    assert len(hashed) == 2
    later(monkeypatch, 3)
    assert [store.file_digest(file) for _ in range(2)] == [sha256(b"one")] * 2
    assert len(hashed) == 3


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path, file, monkeypatch):
    later(monkeypatch, 10)
    digest, store = hashlib.file_digest, Store(tmp_path / "store")

    def changing(opened, kind):
        found = digest(opened, kind)
        file.write_bytes(b"two")
        return found

    with monkeypatch.context() as patch:
        patch.setattr("hashlib.file_digest", changing)
        assert store.file_digest(file) == sha256(b"one")
    assert store.file_digest(file) == sha256(b"two")


def test_an_index_that_remembers_by_size_and_time_alone_is_kept_without_that(tmp_path, file):
    store = Store(tmp_path / "store")
    put(store, 1, 2)
    store.index.remember_gone([f"{3:040x}"], "collected")
    store.close()
    about = file.stat()
    with sqlite3.connect(store.index.path) as connection:
        connection.execute("CREATE TABLE files (path TEXT PRIMARY KEY, size INTEGER, mtime INTEGER, digest TEXT)")
        row = str(file.resolve()), about.st_size, about.st_mtime_ns, "f" * 64
        connection.execute("INSERT INTO files VALUES (?, ?, ?, ?)", row)
        connection.execute("DROP TABLE digests")
    connection.close()
    again = Store(tmp_path / "store")
    assert again.file_digest(file) == sha256(b"one")
    assert known(again, 1, 2, 3) == {1, 2}
    assert again.fate([f"{3:040x}"])[f"{3:040x}"].reason == "collected"


def test_a_stamp_holds_numbers_of_any_size():
    about = os.stat_result((0, 2**64 - 1, 0, 0, 0, 0, 2**63, 0, 0, 0))
    assert file_digests.stamp(about).split()[::3] == [str(2**63), str(2**64 - 1)]
