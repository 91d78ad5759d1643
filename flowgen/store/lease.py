"""One lease: its name and its keys, and what is known of all at one time."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from flowgen.store.medium import Entry
from flowgen.store.processes import is_here, machine_of

FOLDER = "leases"
SIZE = 20
"""bytes of a key"""
SIGN, CLAIM, HOLD = "sign", "claim", "hold"
FEW = 8
"""keys, at most, of a claim whose name says how they begin"""
BEGINNING = 6
"""hexadecimal digits of a key that are its beginning: two alike cost a look, and some file systems refuse long names"""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a process may compute now."""

    mine: frozenset[str]
    """keys that nobody else computes"""
    took_over: bool
    """some of them were claimed by an owner that died"""
    news: frozenset[str] = frozenset()
    """blocks that processes of other machines published lately"""
    missed: bool = False
    """there may have been more: this process hasn't looked for long, or hears of another machine for the first time"""


@dataclass(slots=True)
class Look:
    """The leases at one time."""

    signs: dict[str, Entry]
    """by process"""
    living: dict[str, Entry] = field(default_factory=dict)
    """what is there by name: of processes that live, and of those that died"""
    dead: dict[str, Entry] = field(default_factory=dict)


def machines(names: Iterable[str]) -> set[str]:
    """The machines of processes, without this one."""
    return {machine_of(name) for name in names if not is_here(name)}


def process_of(entry: Entry) -> str:
    """Whose lease or sign it is."""
    return entry.name.removeprefix(f"{FOLDER}/").partition(".")[0]


def about(keys: bytes, kind: str) -> str:
    """What the name of a lease says of its keys, 20 bytes each: how many they are, and how a few begin."""
    count = len(keys) // SIZE
    begin = "".join(key.hex()[:BEGINNING] for key in split(keys)) if kind == CLAIM and count <= FEW else ""
    return f"{count}.{begin}.{kind}"


def may_hold(name: str, beginnings: Collection[str]) -> bool:
    """Whether the name of a claim leaves it possible that it holds a key that begins like one of some."""
    said = name.split(".")[-2]
    return not said or any(said[at : at + BEGINNING] in beginnings for at in range(0, len(said), BEGINNING))


def whole(name: str, keys: bytes) -> bool:
    """Whether all keys of a lease are there."""
    return len(keys) == SIZE * int(name.split(".")[-3])


def split(keys: bytes) -> list[bytes]:
    """The keys in a row of them."""
    return [keys[start : start + SIZE] for start in range(0, len(keys) + 1 - SIZE, SIZE)]
