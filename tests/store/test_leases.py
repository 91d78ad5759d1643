"""Leases: one process computes, the others wait; what the dead held is free."""

import errno
import itertools
import multiprocessing
import os
import shutil
import signal
import threading
import time

import pytest
from storing import key

from flowgen.store import leases as module
from flowgen.store import processes
from flowgen.store.folder import Folder
from flowgen.store.lease import FEW, about
from flowgen.store.leases import Leases
from flowgen.store.patience import Unwritable

FORK = multiprocessing.get_context("fork")
KEYS = [key(n) for n in range(6)]
BLOCK = "b" * 40


def opened(folder):
    medium = Folder(folder)
    medium.prepare()
    return Leases(medium)


@pytest.fixture
def leases(tmp_path):
    return opened(tmp_path)


def elsewhere(name="elsewhere"):
    """This process is on another machine from now on."""
    processes.place = lambda: name


def hold_until_killed(folder, keys, ready, far):
    if far:
        elsewhere()
    with opened(folder).claim(keys):
        ready.set()
        time.sleep(60)


def another(tmp_path, keys, far=False):
    """A process that claims keys and stays."""
    ready = FORK.Event()
    child = FORK.Process(target=hold_until_killed, args=(tmp_path, keys, ready, far), daemon=True)
    child.start()
    assert ready.wait(20)
    return child


def lease(folder, process, kind, *numbers):
    """As if a process had one, and had just given a sign of life."""
    (folder / "leases").mkdir(exist_ok=True)
    (folder / "leases" / f"{process}.sign").write_bytes(b"")
    keys = bytes.fromhex("".join(map(key, numbers)))
    (folder / "leases" / f"{process}.1.{about(keys, kind)}").write_bytes(keys)


def test_a_key_is_claimed_once(leases):
    with leases.claim(KEYS[:4]) as first, leases.claim(KEYS[2:]) as second:
        assert first.mine == set(KEYS[:4])
        assert second.mine == set(KEYS[4:])
        assert leases.claimed(KEYS) == set(KEYS)
    assert leases.claimed(KEYS) == set()


class Stepped(Folder):
    """A folder in which threads take their steps in a given order."""

    def __init__(self, root, order):
        super().__init__(root)
        self.order, self.at, self.moved = order, 0, threading.Condition()

    def step(self, work):
        me = threading.current_thread().name
        with self.moved:
            if me in self.order:
                self.moved.wait_for(lambda: me not in self.order[self.at :] or self.order[self.at] == me, 10)
            found = work()
            self.at += me in self.order[self.at :]
            self.moved.notify_all()
        return found

    def put(self, name, data, **named):
        """In two steps: half of it is there after the first."""
        self.step(lambda: super(Stepped, self).put(name, data[: len(data) // 2], **named))
        return self.step(lambda: super(Stepped, self).put(name, data, **named))

    def entries(self, *given, **named):
        return self.step(lambda: super(Stepped, self).entries(*given, **named))

    def get(self, names):
        return self.step(lambda: super(Stepped, self).get(names))


STEPS = 4
"""of a claim: half of it is written, all of it, all are listed, those of others are read"""


@pytest.mark.parametrize("count", [2, 3])
def test_whatever_the_order_of_their_steps_two_never_own_a_key(tmp_path, count):
    """All orders of two claimers, and of three in part; who ends his claim does so after all have looked."""
    orders = sorted(set(itertools.permutations("abc"[:count] * STEPS))) if count == 2 else None
    orders = orders or [tuple(o) for o in sorted(set(itertools.permutations("abc" * 2)))]
    outcomes = set()
    for number, order in enumerate(orders):
        medium = Stepped(tmp_path / str(number), order)
        medium.prepare()
        claimers = {name: Leases(medium) for name in "abc"[:count]}
        for each in claimers.values():
            each.look()
        owned, all_looked = {}, threading.Barrier(count)

        def work(name, claimers=claimers, owned=owned, all_looked=all_looked):
            with claimers[name].claim(KEYS) as claim:
                owned[name] = claim.mine
                all_looked.wait(10)

        threads = [threading.Thread(target=work, args=(name,), name=name) for name in claimers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(owned) == count
        holders = [name for name, mine in owned.items() if mine]
        assert len(holders) <= 1, order
        outcomes.add(len(holders))
        assert not list(medium.root.glob("leases/*.claim"))
    assert outcomes == {0, 1}


def test_a_claim_counts_when_all_of_it_is_written(tmp_path, leases):
    """Who writes it looks at the others' afterwards; what was seen of it before isn't taken for all of it."""
    lease(tmp_path, "far~1~2~3", "claim", 0, 1)
    (path,) = (tmp_path / "leases").glob("far~1~2~3.1.2.*.claim")
    whole = path.read_bytes()
    path.write_bytes(whole[:25])
    with leases.claim(KEYS) as claim:
        assert claim.mine == set(KEYS)
    path.write_bytes(whole)
    with leases.claim(KEYS) as claim:
        assert claim.mine == set(KEYS[2:])


def test_a_full_disk_leaves_no_claim(tmp_path, leases, monkeypatch):
    leases.look()

    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(Unwritable, match="is full"):
            leases.claim(KEYS).__enter__()
    assert not list((tmp_path / "leases").glob("*.claim"))
    with leases.claim(KEYS) as claim:
        assert claim.mine == set(KEYS)


def test_what_a_killed_process_claimed_is_free_at_once(tmp_path, leases):
    child = another(tmp_path, KEYS)
    assert leases.claimed(KEYS) == set(KEYS)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert leases.claimed(KEYS) == set()
    with leases.claim(KEYS) as claim:
        assert claim.mine == set(KEYS) and claim.took_over
    with leases.claim(KEYS) as claim:
        assert not claim.took_over


@pytest.mark.parametrize("far", [False, True])
def test_a_process_that_gives_no_sign_of_life_loses_its_claims(tmp_path, leases, monkeypatch, far):
    monkeypatch.setattr(module, "BEAT", 0.05)
    monkeypatch.setattr(module, "EXPIRY", 0.5)
    child = another(tmp_path, KEYS, far)
    time.sleep(1)
    assert leases.claimed(KEYS) == set(KEYS)  # renewed
    os.kill(child.pid, signal.SIGKILL if far else signal.SIGSTOP)
    if far:
        assert leases.claimed(KEYS) == set(KEYS)  # nobody here can know
    time.sleep(1)
    assert leases.claimed(KEYS) == set()
    os.kill(child.pid, signal.SIGKILL)
    child.join()


def test_the_clock_of_this_machine_does_not_matter(tmp_path, leases, monkeypatch):
    lease(tmp_path, "far~1~2~3", "claim", 1)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert leases.claimed(KEYS) == {KEYS[1]}
    old = os.stat(tmp_path / "leases" / "far~1~2~3.sign").st_mtime - module.EXPIRY - module.BEAT - 1
    os.utime(tmp_path / "leases" / "far~1~2~3.sign", (old, old))
    assert leases.claimed(KEYS) == set()


def test_another_process_of_the_same_number_is_not_the_owner(tmp_path, leases):
    lease(tmp_path, f"{processes.place()}~{os.getppid()}~{processes.born(os.getppid())}~1", "claim", 0)
    lease(tmp_path, f"{processes.place()}~{os.getppid()}~long ago~1", "claim", 1)
    assert leases.claimed(KEYS) == {KEYS[0]}


def test_losing_them_frees_and_does_no_harm(tmp_path, leases):
    with leases.claim(KEYS[:3]):
        shutil.rmtree(tmp_path / "leases")
        with leases.claim(KEYS) as claim:
            assert claim.mine == set(KEYS)
    assert leases.claimed(KEYS) == set()


def test_what_a_dead_run_held_is_let_go(tmp_path, leases):
    lease(tmp_path, f"{processes.place()}~{os.getppid()}~long ago~1", "hold", 0)
    with leases.hold(bytes.fromhex(KEYS[1] + KEYS[2])), leases.claim([KEYS[3]]):
        assert leases.held() == {bytes.fromhex(KEYS[n]) for n in (1, 2, 3)}
    assert leases.held() == set()
    assert not list((tmp_path / "leases").glob("*.hold"))


def test_a_claim_that_ended_was_told_of(tmp_path, leases, monkeypatch):
    """What another machine published under a claim is known to whoever claims after it."""
    far = opened(tmp_path)
    with leases.claim(KEYS[:1]):
        assert len(list((tmp_path / "leases").glob("*.sign"))) == 1
    with monkeypatch.context() as patch:
        patch.setattr(processes, "place", lambda: "elsewhere")
        with far.claim(KEYS):
            far.tell(BLOCK)
    with leases.claim(KEYS) as claim:
        assert claim.mine == set(KEYS) and claim.news == {BLOCK}
        assert claim.missed  # the first that is heard of that machine: it published before it knew of this one
    with leases.claim(KEYS) as claim:
        assert not claim.missed
    leases.looked -= module.NEWS + 1
    with leases.claim(KEYS) as claim:
        assert claim.missed


def test_nothing_is_written_to_tell_those_who_share_the_index(tmp_path, leases, monkeypatch):
    """A sign costs more than all else about a lease; with the next beat it names the block anyhow."""
    written = []
    put = Folder.put
    monkeypatch.setattr(
        Folder, "put", lambda folder, name, *rest, **named: (written.append(name), put(folder, name, *rest, **named))
    )
    near = opened(tmp_path)
    with near.claim(KEYS[:1]):
        for number in range(3):
            with leases.claim(KEYS[1:]) as claim:
                assert not claim.missed
                leases.tell(f"{number:040}")
    assert len(written) == 2 + 4  # a sign of each, and the claims
    with monkeypatch.context() as patch:
        patch.setattr(processes, "place", lambda: "elsewhere")
        opened(tmp_path).ready()  # a machine that comes
    with leases.claim(KEYS[1:]) as claim:
        assert claim.missed  # what it published before
        leases.tell(BLOCK)
    told = (tmp_path / "leases" / f"{leases.me}.sign").read_bytes()
    assert {bytes.fromhex(BLOCK), bytes.fromhex(f"{0:040}")} <= {told[n : n + 20] for n in range(0, len(told), 20)}


def test_signs_that_are_no_news_any_more_are_removed(tmp_path, leases):
    lease(tmp_path, "far~1~2~3", "claim", 1)
    sign = tmp_path / "leases" / "far~1~2~3.sign"
    old = sign.stat().st_mtime - module.NEWS - module.BEAT - 1
    os.utime(sign, (old, old))
    with leases.claim(KEYS[:1]):
        assert sorted(p.suffix for p in (tmp_path / "leases").iterdir()) == [".claim", ".sign"]  # both mine


def test_nobody_is_asked_whether_he_lives_who_claims_other_items(tmp_path, leases, monkeypatch):
    parent = f"{processes.place()}~{os.getppid()}~{processes.born(os.getppid())}~1"
    lease(tmp_path, parent, "claim", 0)
    leases.look()
    asked = []
    monkeypatch.setattr(module, "lives", lambda name: asked.append(name) or True)
    with leases.claim(KEYS[1:]) as claim:
        assert claim.mine == set(KEYS[1:])
    assert asked == []
    with leases.claim(KEYS[:2]) as claim:
        assert claim.mine == {KEYS[1]} and not claim.took_over
    assert asked == [parent]


@pytest.mark.parametrize(("count", "reads"), [(1, 1), (FEW, 1), (FEW + 1, 2)])
def test_a_claim_is_read_only_by_who_may_want_its_items(tmp_path, leases, monkeypatch, count, reads):
    """The beginnings of a few keys stand in its name; among many workers to read all would be most of the work."""
    keys = [f"{n:x}" * 40 for n in range(15)]
    leases.look()
    read = []
    get = Folder.get
    monkeypatch.setattr(Folder, "get", lambda folder, names, last=0: get(folder, read_too(names, read), last))
    with opened(tmp_path).claim(keys[:count]):
        read.clear()
        with leases.claim(keys[10:]) as claim:
            assert claim.mine == set(keys[10:])
        leases.claims.clear()
        with leases.claim(keys[count - 1 : 12]) as claim:
            assert claim.mine == set(keys[count:12])
        assert len(read) == reads


def read_too(names, read):
    names = list(names)
    read += names
    return names


def test_what_the_dead_left_is_removed_although_nobody_wants_it(tmp_path, leases):
    leases.look()
    lease(tmp_path, f"{processes.place()}~{os.getppid()}~long ago~1", "claim", 0)
    for there in (True, False):
        with leases.claim(KEYS[1:]) as claim:
            assert claim.mine == set(KEYS[1:]) and not claim.took_over
        assert bool(list((tmp_path / "leases").glob("*.claim"))) == there
        leases.judged -= module.NEWS + 1
