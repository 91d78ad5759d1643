"""What a block says of itself: its items, how to read them, checksums of every file, how they were made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from zlib_ng import zlib_ng as zlib

from flowgen.store.medium import Damaged
from flowgen.store.zarr_format import Buffer
from flowgen.store.zip_format import Entry
from flowgen.values.record import Record

Pieces: TypeAlias = Sequence[Buffer]
"""bytes of a block, in order"""
VERSION = 4
"""of the manifest"""
MANIFEST = "block.json"
"""the last file of a block"""
PARTS = {"keys": list, "outputs": dict, "files": dict, "provenance": dict}
"""of a manifest"""
written = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
NONE = "its manifest isn't one"
"""although it has the right digest: somebody made it up"""


def manifest_of(
    keys: Sequence[str],
    outputs: Mapping[str, Record],
    files: Mapping[str, Mapping[str, int]],
    provenance: Mapping[str, Any],
) -> bytes:
    """The manifest; ``files`` are described by ``describe``."""
    about = {}
    for output, value in outputs.items():
        fields = {k: {"shape": list(t.shape), "dtype": str(t.dtype)} for k, t in value.tensors().items()}
        about[output] = {"record": type(value).__name__, "metadata": value.metadata(), "fields": fields}
    manifest = {
        "version": VERSION,
        "keys": list(keys),
        "outputs": about,
        "files": files,
        "provenance": dict(provenance),
    }
    return written(manifest).encode()


def parsed(name: str, manifest: Buffer) -> dict[str, Any]:
    """A manifest that was read. Raises Damaged if it isn't the one that the block is named after."""
    if digest(manifest) != name:
        raise Damaged("its manifest has other content than written")
    try:
        found: dict[str, Any] = json.loads(bytes(manifest))
        if found["version"] != VERSION:
            raise Damaged(f"its manifest is of version {found['version']}, not {VERSION}")
        if not all(isinstance(found[part], kind) for part, kind in PARTS.items()):
            raise Damaged(NONE)
    except (ValueError, TypeError, KeyError):
        raise Damaged(NONE) from None
    return found


def describe(path: str, data: Pieces) -> dict[str, int]:
    """A file's size and CRC-32, and a chunk's crc32c: a read compares that, ``verify`` both."""
    crc = 0
    for piece in data:
        crc = zlib.crc32(piece, crc)
    about = {"size": size_of(data), "crc32": crc}
    if is_chunk(path):
        about["crc32c"] = int.from_bytes(data[-1], "little")
    return about


def is_chunk(path: str) -> bool:
    """Whether a file holds numbers."""
    return not path.endswith(".json")


def size_of(pieces: Pieces) -> int:
    """Bytes of a block."""
    return sum(map(len, pieces))


def entries(files: Mapping[str, Mapping[str, int]], manifest: bytes) -> list[Entry]:
    """What the archive's frame is made of."""
    listed = [Entry(path, about["size"], about["crc32"], is_chunk(path)) for path, about in files.items()]
    return [*listed, Entry(MANIFEST, len(manifest), zlib.crc32(manifest), aligned=False)]


def digest(data: Buffer) -> str:
    """160 bits of sha256, which processors have instructions for."""
    return hashlib.sha256(data).hexdigest()[:40]
