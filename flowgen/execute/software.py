"""What code a process runs: versions of libraries, and the content of flowgen's and the packs' own files."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

LIBRARIES = ("torch", "diffusers", "transformers", "zarr", "distributed")
"""results, what is stored and what passes between processes depend on them"""
ABSENT = "absent"


def software(packages: Iterable[str]) -> dict[str, str]:
    """Versions by name; for flowgen and some packages or modules a digest of their code, whatever they call themselves.

    A build's own mark (``+cu128``) isn't part of a version: a driver without a GPU may send work to one.
    """
    found = {"Python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    found |= {name: version(name) for name in LIBRARIES}
    return found | {f"the code of {name}": code_digest(name) for name in sorted({"flowgen", *packages})}


def differences(mine: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """What isn't the same, in words."""
    return [
        f"{name} is {theirs.get(name, ABSENT)}, here {value}"
        for name, value in mine.items()
        if theirs.get(name, ABSENT) != value
    ]


def version(name: str) -> str:
    """A library's version: the one that this process has loaded, whatever was installed since."""
    return str(getattr(sys.modules.get(name), "__version__", "") or installed(name)).partition("+")[0]


@lru_cache(maxsize=64)
def installed(name: str) -> str:
    """The version of a distribution, as it was when it was first asked for."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ABSENT


@lru_cache(maxsize=64)
def code_digest(name: str) -> str:
    """Twelve digits of a hash over all Python files of a package, or the one of a module."""
    spec = None
    with suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(name)
    if spec is None:
        return ABSENT
    digest = hashlib.blake2b(digest_size=6)
    for folder in map(Path, spec.submodule_search_locations or ()):
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{path.relative_to(folder).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    if not spec.submodule_search_locations and spec.origin and Path(spec.origin).is_file():
        digest.update(Path(spec.origin).read_bytes())
    return digest.hexdigest()
