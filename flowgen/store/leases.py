"""Leases: what living processes are computing, and what their runs stand on, as objects that all machines see.

A claim names items that one process computes; others wait for them. A hold names items that a run has planned to
read; they aren't collected. Each is an object that never changes, ``leases/PROCESS.ID.COUNT.KEYS.claim`` or
``..hold``, with its COUNT keys of 20 bytes; while it is written there may be fewer, and it counts for nothing yet. KEYS
are the beginnings of a claim's keys if they are few: others read it only if they want one that begins so. A process
gives a sign of life by writing ``leases/PROCESS.sign`` anew, which also names the blocks that it published lately,
for machines whose index doesn't know them: before a claim ends if there are others' signs, else with the next beat.
Who sees another machine's sign for the first time looks for blocks himself: he had signed by then, so that what is
published later is told. What a process left is over at once if the process is dead on this machine, after EXPIRY
without a sign if it is on another one or hangs. Losing all leases costs work that is done twice, never a wrong
answer.

Who claims writes his claim first, to its end, and looks at the others' then: of two claims at least one sees the other,
and gives way. So an item never has two owners, whatever the clocks say. Two that see each other both give way, and try
again after pauses of chance (``execute/waiting.py``). Who of the others lives is asked only where it matters: mostly
all claims are of this machine and of other items, and a listing of names shows that.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from flowgen.store.lease import (
    BEGINNING,
    CLAIM,
    FOLDER,
    HOLD,
    SIGN,
    Claim,
    Look,
    about,
    machines,
    may_hold,
    process_of,
    split,
    whole,
)
from flowgen.store.medium import Entry, Medium
from flowgen.store.patience import Unreachable, Unwritable, briefly
from flowgen.store.processes import is_here, lives, name_process

EXPIRY = 30.0
"""seconds without a sign of life after which a lease is over"""
BEAT = 5.0
"""seconds between two signs of life"""
NEWS = 300.0
"""seconds for which a sign of life names a block that was published"""
LATELY = 0.05
"""seconds after a look at the leases in which another machine's first sign isn't looked for again: should one come just
then, what was computed meanwhile may be computed there too
"""


class Leases:
    """The leases of one store."""

    def __init__(self, medium: Medium) -> None:
        self.medium = medium
        self.lock = threading.RLock()
        self.process = 0
        self.me = ""
        """name of this process, as of ``process``"""
        self.mine: set[str] = set()
        """leases of this process"""
        self.numbers = itertools.count()
        self.signed = 0.0
        """when it last gave a sign of life, monotonic; 0 for never"""
        self.published: dict[str, float] = {}
        """blocks by name, and when, monotonic"""
        self.untold: set[str] = set()
        """those that the sign doesn't name yet"""
        self.signing = threading.Lock()
        self.claims: dict[str, frozenset[bytes]] = {}
        """keys of claims that were written or read, which don't change"""
        self.heard: dict[str, str] = {}
        """versions of signs of other machines that were read"""
        self.looked = time.monotonic()
        """when it last looked at others' claims"""
        self.alone = False
        """whether all that was there then was of this machine"""
        self.judged = 0.0
        """when it last looked who of them lives; 0 for never"""
        self.beating: tuple[int, threading.Event] | None = None

    @contextmanager
    def claim(self, keys: Sequence[str]) -> Iterator[Claim]:
        """Claim the keys that no living process has claimed, as long as the context lasts."""
        wanted = frozenset(map(bytes.fromhex, keys))
        with self.lease(CLAIM, b"".join(wanted)) as mine:
            self.claims[mine] = wanted
            last, self.looked = self.looked, time.monotonic()
            entries = self.listed()
            if self.undisputed({entry.name for entry in entries}, wanted, mine):
                yield Claim(frozenset(keys), took_over=False, missed=self.looked - last > NEWS)
                return
            look = self.look(entries)
            taken = wanted & self.keys_of(look.living, wanted, mine)
            took_over = not wanted.isdisjoint(self.keys_of(look.dead, wanted))
            self.bury(look)
            free = frozenset(key.hex() for key in wanted - taken)
            missed = self.looked - last > NEWS or not machines(look.signs) <= machines(self.heard)
            yield Claim(free, took_over, self.news(look), missed)

    def listed(self) -> list[Entry]:
        """The names of all leases and signs."""
        entries = self.medium.entries(FOLDER, bare=True)
        self.alone = not machines(map(process_of, entries))
        return entries

    def undisputed(self, there: Collection[str], wanted: frozenset[bytes], mine: str) -> bool:
        """Whether all that is there is of this machine, and no claim but ``mine``, of the dead neither, has such keys.

        False also if who lives wasn't looked at for long: somebody must remove what the dead left.
        """
        self.forget(there)
        known = self.looked - self.judged < NEWS and f"{FOLDER}/{self.me}.{SIGN}" in there
        return known and self.alone and wanted.isdisjoint(self.keys_of(there, wanted, mine))

    def claimed(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys that living processes are computing."""
        wanted = frozenset(map(bytes.fromhex, keys))
        return {key.hex() for key in wanted & self.keys_of(self.look().living, wanted)}

    @contextmanager
    def hold(self, keys: bytes) -> Iterator[None]:
        """Keep items from being collected as long as the context lasts; ``keys`` are 20 bytes each."""
        with self.lease(HOLD, keys):
            yield

    def held(self) -> set[bytes]:
        """Keys, 20 bytes each, that living runs stand on or compute."""
        look = self.look()
        self.bury(look)
        found = set(self.keys_of(look.living))
        for got in self.medium.get(name for name in look.living if name.endswith(HOLD)).values():
            found.update(split(got.data))
        return found

    def tell(self, block: str) -> None:
        """A block was published: other machines hear of it before the claim on its items ends."""
        with self.lock:
            self.published[block] = time.monotonic()
            self.untold.add(block)

    @contextmanager
    def lease(self, kind: str, keys: bytes) -> Iterator[str]:
        """A lease of this process: its name. ``keys`` are 20 bytes each."""
        self.ready()
        name = f"{FOLDER}/{self.me}.{next(self.numbers)}.{about(keys, kind)}"
        self.mine.add(name)
        try:
            self.medium.put(name, keys, whole=False)
            yield name
        except Unreachable:  # so that its end can't be told now; ``bury`` removes it later
            self.mine.discard(name)
            raise
        except BaseException:  # which is heard of, whatever comes of the end
            with briefly(), suppress(Unwritable, OSError):
                self.end(name)
            raise
        self.end(name)

    def end(self, name: str) -> None:
        """A lease is over; what was published under it is told before, if there is another machine to hear it."""
        try:
            if self.untold:
                if self.alone and time.monotonic() - self.looked > LATELY:
                    self.listed()
                if not self.alone:
                    self.sign()
        finally:
            self.mine.discard(name)
        self.medium.delete([name])

    def ready(self) -> None:
        """Give a sign of life if the last is old, and go on with it while there are leases."""
        with self.lock:
            if self.process != os.getpid():  # at first, and in a fork
                self.process, self.me = os.getpid(), name_process()
                self.mine, self.signed, self.published, self.untold = set(), 0.0, {}, set()
            if self.beating is None or self.beating[0] != self.process:
                self.beating = (self.process, threading.Event())
                given = (weakref.ref(self), self.beating[1])
                threading.Thread(target=keep_alive, args=given, daemon=True, name="leases").start()
        if not self.signed or time.monotonic() - self.signed > BEAT:
            self.sign()

    def sign(self) -> None:
        """A sign of life, with the news of this process."""
        with self.signing:
            now = time.monotonic()
            with self.lock:
                self.published = {block: at for block, at in self.published.items() if now - at < NEWS}
                told = set(self.published)
            self.medium.put(f"{FOLDER}/{self.me}.{SIGN}", bytes.fromhex("".join(told)))
            self.signed = now
            self.untold -= told

    def look(self, entries: Iterable[Entry] | None = None) -> Look:
        """All leases, and whose process lives: by the medium's clock, compared with this process's own sign.

        entries: what is there, if it was just listed.
        """
        self.ready()
        entries = self.medium.entries(FOLDER, bare=True) if entries is None else entries
        signs: dict[str, Entry] = {}
        for entry in entries:
            if entry.name.endswith(SIGN):
                with suppress(FileNotFoundError):
                    signs[process_of(entry)] = entry if entry.time else self.medium.stat(entry.name)
        if self.me not in signs:  # somebody deleted it
            self.sign()
            signs[self.me] = self.medium.stat(f"{FOLDER}/{self.me}.{SIGN}")
        self.judged = time.monotonic()
        found, now = Look(signs), signs[self.me].time
        for entry in entries:
            if entry.name.endswith(SIGN):
                dead = process_of(entry) in signs and now - signs[process_of(entry)].time > NEWS
            elif process_of(entry) == self.me:
                dead = entry.name not in self.mine
            else:
                dead = not self.lives(process_of(entry), signs, now)
            (found.dead if dead else found.living)[entry.name] = entry
        return found

    def lives(self, process: str, signs: Mapping[str, Entry], now: float) -> bool:
        """Whether another owner of a lease lives."""
        if not lives(process):
            return False
        try:  # a listing may leave out what is written anew meanwhile
            sign = signs.get(process) or self.medium.stat(f"{FOLDER}/{process}.{SIGN}")
        except FileNotFoundError:
            return False
        return now - sign.time <= EXPIRY

    def keys_of(self, names: Iterable[str], wanted: Iterable[bytes] | None = None, but: str = "") -> frozenset[bytes]:
        """The keys of claims, but for one; of those alone that may hold ``wanted`` keys; none of one that ended."""
        begin = None if wanted is None else {key.hex()[:BEGINNING] for key in wanted}
        claims = [name for name in names if name.endswith(CLAIM) and name != but]
        some = [name for name in claims if begin is None or may_hold(name, begin)]
        found = self.medium.get(name for name in some if name not in self.claims)
        self.claims |= {name: frozenset(split(got.data)) for name, got in found.items() if whole(name, got.data)}
        return frozenset().union(*(self.claims.get(name, frozenset()) for name in some))

    def bury(self, look: Look) -> None:
        """Remove what the dead left, and forget claims that have ended."""
        self.medium.delete(look.dead)
        self.forget(look.living)

    def forget(self, there: Collection[str]) -> None:
        """Let the keys of claims go that aren't there any more."""
        for name in [name for name in self.claims if name not in there]:
            self.claims.pop(name, None)

    def news(self, look: Look) -> frozenset[str]:
        """The blocks that other machines' signs name, of those that may have changed since they were last read."""
        others = {process: sign for process, sign in look.signs.items() if not is_here(process)}
        new = [
            sign.name for process, sign in others.items() if not sign.version or self.heard.get(process) != sign.version
        ]
        found = self.medium.get(new)
        self.heard = {process: sign.version for process, sign in others.items()}
        return frozenset(block.hex() for got in found.values() for block in split(got.data))

    def close(self) -> None:
        """Give no more signs of life."""
        if self.beating:
            self.beating[1].set()


def keep_alive(leases: weakref.ref[Leases], stop: threading.Event) -> None:
    """Give signs of life until the store is closed or forgotten. What fails now is tried again."""
    while not stop.wait(BEAT):
        found = leases()
        if found is None:
            return
        try:
            if found.mine:
                found.sign()
        except (Unwritable, OSError):
            continue
        finally:
            del found
