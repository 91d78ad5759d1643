"""Leases: one process computes, the others wait; what the dead held is free."""

import multiprocessing
import os
import signal
import sqlite3
import time

import pytest
from storing import key

from flowgen.store import leases as module
from flowgen.store.leases import Leases

FORK = multiprocessing.get_context("fork")
KEYS = [key(n) for n in range(6)]


@pytest.fixture
def leases(tmp_path):
    return Leases(tmp_path)


def hold_until_killed(folder, keys, ready):
    with Leases(folder).claim(keys):
        ready.set()
        time.sleep(60)


def another(tmp_path, keys):
    """A process that claims keys and stays."""
    ready = FORK.Event()
    child = FORK.Process(target=hold_until_killed, args=(tmp_path, keys, ready), daemon=True)
    child.start()
    assert ready.wait(20)
    return child


def test_a_key_is_claimed_once(leases):
    with leases.claim(KEYS[:4]) as first, leases.claim(KEYS[2:]) as second:
        assert first.mine == set(KEYS[:4])
        assert second.mine == set(KEYS[4:])
        assert leases.claimed(KEYS) == set(KEYS)
    assert leases.claimed(KEYS) == set()


def test_what_a_killed_process_claimed_is_free_at_once(tmp_path, leases):
    child = another(tmp_path, KEYS)
    assert leases.claimed(KEYS) == set(KEYS)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert leases.claimed(KEYS) == set()
    with leases.claim(KEYS) as claim:
        assert claim.mine == set(KEYS) and claim.took_over


def test_a_process_that_gives_no_sign_of_life_loses_its_claims(tmp_path, leases, monkeypatch):
    monkeypatch.setattr(module, "BEAT", 0.05)
    monkeypatch.setattr(module, "EXPIRY", 0.5)
    child = another(tmp_path, KEYS)
    time.sleep(1)
    assert leases.claimed(KEYS) == set(KEYS)  # renewed
    os.kill(child.pid, signal.SIGSTOP)
    time.sleep(1)
    assert leases.claimed(KEYS) == set()
    os.kill(child.pid, signal.SIGKILL)
    child.join()


def test_another_process_of_the_same_number_is_not_the_owner(leases):
    with leases.claim(KEYS):
        with sqlite3.connect(leases.folder / "leases.sqlite") as connection:
            connection.execute("UPDATE leases SET pid = ?, born = 'long ago'", (os.getppid(),))
        connection.close()
        assert leases.claimed(KEYS) == set()


@pytest.mark.parametrize("damage", ["deleted", "garbage"])
def test_losing_the_file_frees_and_does_no_harm(leases, damage):
    file = leases.folder / "leases.sqlite"
    with leases.claim(KEYS[:3]):
        if damage == "deleted":
            file.unlink()
        else:
            leases.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            data = bytearray(file.read_bytes())
            data[100:] = b"x" * len(data[100:])
            with open(file, "r+b") as f:
                f.write(data)
            leases.database.connection.close()
            leases.database.inode = -1
        with leases.claim(KEYS) as claim:
            assert claim.mine == set(KEYS)
        leases.renew()
    assert leases.claimed(KEYS) == set()


def test_what_a_dead_run_held_is_let_go(leases):
    stray = leases.folder / "dead.keys"
    stray.write_bytes(bytes.fromhex(KEYS[0]))
    os.utime(stray, (1, 1))
    with leases.hold(bytes.fromhex(KEYS[1] + KEYS[2])), leases.claim([KEYS[3]]):
        assert leases.held() == {bytes.fromhex(KEYS[n]) for n in (1, 2, 3)}
    assert leases.held() == set()
    assert not list(leases.folder.glob("*.keys"))
