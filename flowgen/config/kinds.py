"""The settings there are: their kinds, variables, defaults, and what each one's text or TOML value means."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from flowgen.errors import Position, UserError
from flowgen.language.labels import readable
from flowgen.language.sources import real

UNITS = {"": 1, "B": 1} | {
    prefix + suffix: base ** (n + 1) for n, prefix in enumerate("KMGT") for suffix, base in (("B", 1000), ("iB", 1024))
}
"""50GB is 50 * 1000^3 bytes, 50GiB is 50 * 1024^3; the case of letters doesn't matter"""
SCHEMES = ("s3", "gs", "az")
"""of object storage"""
DTYPES = ("float32", "float16", "bfloat16")
SHOWN = 200
"""characters of a wrong value that a message shows"""


@dataclass(frozen=True, slots=True)
class Kind:
    """One setting."""

    name: str
    """in flowgen.toml; the flag is ``--name``"""
    read: Callable[[Any, Path], Any]
    """a text or TOML value and the folder that paths are relative to -> the value; ValueError says what it takes"""
    default: Any
    variable: str | None
    """environment variable"""
    meaning: str
    trusted: bool = False
    """a project file sets it only in a folder that the user's own file trusts"""


def path(value: Any, folder: Path) -> Path:
    """A path; ``~`` is the user's folder, others are relative to ``folder``."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError("takes a path")
    try:
        return folder / Path(value).expanduser()
    except RuntimeError:
        raise ValueError("takes a path of a user that there is") from None


def place(value: Any, folder: Path) -> Path | str:
    """Where a store lies: a path, or the URL of object storage, which stays a text."""
    if isinstance(value, Path):
        return folder / value
    if not isinstance(value, str) or "://" not in value or "\0" in value:
        return path(value, folder)
    scheme, _, rest = value.strip().partition("://")
    if scheme not in SCHEMES or not rest.strip("/"):
        raise ValueError(f"takes a path or a URL ({', '.join(f'{name}://bucket/prefix' for name in SCHEMES)})")
    return f"{scheme}://{rest.rstrip('/')}"


def paths(value: Any, folder: Path) -> tuple[Path, ...]:
    """A list of paths, absolute."""
    if not isinstance(value, list):
        raise ValueError("takes a list of paths")
    try:
        return tuple(real(path(entry, folder)) for entry in value)
    except ValueError:
        raise ValueError("takes a list of paths") from None


def whole(least: int) -> Callable[[Any, Path], int]:
    """A reader of whole numbers of at least ``least``."""

    def read(value: Any, folder: Path) -> int:
        digits = isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value.strip())
        number = int(value) if digits else value
        if not isinstance(number, int) or isinstance(number, bool) or number < least:
            raise ValueError(f"takes a whole number of at least {least}")
        return number

    return read


def cluster(value: Any, folder: Path) -> str:
    """A scheduler's address, ``gpus``, or the path of a file that describes jobs."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("takes tcp://HOST:PORT, tls://HOST:PORT, gpus or a file")
    return value if "://" in value or value == "gpus" else str(path(value, folder))


def seconds(value: Any, folder: Path) -> float:
    """A time: a number of seconds, or a text with a unit, as 30s, 10m, 2h."""
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)\s*([smh]?)", str(value).strip())
    if isinstance(value, bool) or not found:
        raise ValueError("takes seconds, or a time as 30s, 10m or 2h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def device(value: Any, folder: Path) -> str:
    """A device's name; whether the machine has it is seen when something runs."""
    if not isinstance(value, str) or not re.fullmatch(r"[a-z]+(:[0-9]+)?", value):
        raise ValueError("takes cpu, cuda, cuda:1, mps or auto")
    return value


def dtype(value: Any, folder: Path) -> str:
    """A precision of networks."""
    if value not in DTYPES:
        raise ValueError(f"takes {', '.join(DTYPES[:-1])} or {DTYPES[-1]}")
    return str(value)


def size(value: Any, folder: Path = Path()) -> int:
    """Bytes: a whole number, or a text with a unit, as 50GB, 1.5TB, 800MiB."""
    text = str(value).strip()
    found = re.fullmatch(r"([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*([A-Za-z]*)", text)
    units = {name.lower(): factor for name, factor in UNITS.items()}
    if isinstance(value, bool | float) or not found or found[2].lower() not in units:
        raise ValueError("takes bytes with a unit, as 50GB or 800MiB")
    return int(Fraction(found[1]) * units[found[2].lower()])


KINDS = {
    kind.name: kind
    for kind in (
        Kind("store", place, Path(".flowgen") / "store", "FLOWGEN_STORE", "where results are cached"),
        Kind("runs", path, Path("runs"), "FLOWGEN_RUNS", "where runs' folders are made"),
        Kind("batch", whole(1), None, "FLOWGEN_BATCH", "items at once; in strict numerics, the padded size"),
        Kind("device", device, "auto", "FLOWGEN_DEVICE", "cpu, cuda, cuda:1, mps or auto"),
        Kind("dtype", dtype, None, "FLOWGEN_DTYPE", "precision of models that don't say; changes results"),
        Kind("workers", whole(0), 0, "FLOWGEN_WORKERS", "worker processes; 0 uses this one"),
        Kind("cluster", cluster, "", "FLOWGEN_CLUSTER", "a Dask scheduler's address, gpus, or a file of jobs", True),
        Kind("tls", path, None, "FLOWGEN_TLS", "folder of certificates for a cluster", trusted=True),
        Kind("wait", seconds, 60.0, "FLOWGEN_WAIT", "how long to wait for a cluster's workers"),
        Kind("store_limit", size, None, "FLOWGEN_STORE_LIMIT", "bytes that the store may take", trusted=True),
        Kind("import", paths, (), None, "Python files that graphs may run", trusted=True),
    )
}
TRUST = Kind("trust", paths, (), None, "folders whose flowgen.toml may set everything; in your own file only")


def understood(kind: Kind, value: Any, folder: Path, at: Position | None = None, source: str = "") -> Any:
    """A value read. Raises UserError at its place in a file, or with its source before the message."""
    try:
        return kind.read(value, folder)
    except ValueError as wrong:
        what = readable(repr(value), SHOWN)
        raise UserError(f"{source}'{kind.name}' {wrong}, not {what}", at, kind.meaning) from None
