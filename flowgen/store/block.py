"""A block: many items of one node in one folder, published whole or not at all, verified when it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

from flowgen.errors import UserError
from flowgen.node.registry import load_packs
from flowgen.store import zarr_format
from flowgen.store.medium import MANIFEST, Damaged, Medium, get, manifest_at
from flowgen.store.patience import patiently
from flowgen.store.zarr_format import Buffer
from flowgen.values.record import REGISTRY, Record, rebuild

Files: TypeAlias = Mapping[str, tuple[Buffer, ...]]
"""a block's files by path, each in pieces"""
VERSION = 3
"""of the manifest"""


class Unknown(UserError):
    """A sound block that holds a kind of record of a pack that isn't installed here."""


@dataclass(frozen=True, slots=True)
class Block:
    """A verified block in memory."""

    keys: tuple[str, ...]
    outputs: dict[str, Record]
    provenance: dict[str, Any]

    @property
    def nbytes(self) -> int:
        """Size of its tensors."""
        return sum(t.nbytes for value in self.outputs.values() for t in value.tensors().values())


def publish(
    medium: Medium, keys: Sequence[str], outputs: Mapping[str, Record], provenance: Mapping[str, Any]
) -> tuple[str, Files]:
    """Write a block so that it is there whole or not at all; its name and files. Raises Unwritable."""
    files = contents(keys, outputs)

    def work() -> tuple[str, Files]:
        with medium.writing() as block:
            block.add(files)
            manifest = {MANIFEST: (manifest_of(keys, outputs, files, provenance),)}  # meanwhile the disk works
            block.add(manifest)
            name = digest(*manifest[MANIFEST])
            block.settle(name)
            return name, {**files, **manifest}

    return patiently(work, medium.place)


def publish_files(medium: Medium, name: str, files: Files) -> None:
    """Put a block that came from elsewhere, already checked, into a store. Raises Unwritable."""

    def work() -> None:
        with medium.writing() as block:
            block.add(files)
            block.settle(name)

    patiently(work, medium.place)


def size_of(files: Files) -> int:
    """Bytes of a block."""
    return sum(len(piece) for data in files.values() for piece in data)


def contents(keys: Sequence[str], outputs: Mapping[str, Record]) -> Files:
    """A block's files, but for its manifest, by relative path, each in pieces."""
    files: dict[str, tuple[Buffer, ...]] = {"zarr.json": (zarr_format.GROUP,)}
    for output, value in outputs.items():
        files[f"{output}/zarr.json"] = (zarr_format.GROUP,)
        for field, tensor in value.tensors().items():
            if len(tensor) != len(keys):
                raise ValueError(f"'{output}.{field}' has {len(tensor)} items, not {len(keys)}")
            for path, data in zarr_format.array_files(tensor).items():
                files[f"{output}/{field}/{path}"] = data
    return files


def manifest_of(
    keys: Sequence[str],
    outputs: Mapping[str, Record],
    files: Files,
    provenance: Mapping[str, Any],
) -> bytes:
    """What a block says of itself: its items, how to read them, the digest of every file, how they were made."""
    about = {}
    for output, value in outputs.items():
        fields = {k: {"shape": list(t.shape), "dtype": str(t.dtype)} for k, t in value.tensors().items()}
        about[output] = {"record": type(value).__name__, "metadata": value.metadata(), "fields": fields}
    manifest = {
        "version": VERSION,
        "keys": list(keys),
        "outputs": about,
        "files": {path: describe(path, data) for path, data in sorted(files.items())},
        "provenance": dict(provenance),
    }
    return json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()


def describe(path: str, data: tuple[Buffer, ...]) -> dict[str, Any]:
    """A file's size and digest, and a chunk's crc32c: that is enough for a read, the digest is for ``verify``."""
    about: dict[str, Any] = {"size": sum(len(piece) for piece in data), "sha256": digest(*data)}
    if not path.endswith(".json"):
        about["crc32c"] = int.from_bytes(data[-1], "little")
    return about


def digest(*data: Buffer) -> str:
    """160 bits of sha256, which processors have instructions for."""
    made = hashlib.sha256()
    for piece in data:
        made.update(piece)
    return made.hexdigest()[:40]


def read_manifest(medium: Medium, name: str) -> dict[str, Any]:
    """A block's manifest. Raises Damaged if it is gone or not the one that the block is named after."""
    try:
        return parsed(name, get(medium, manifest_at(name)))
    except OSError as error:
        raise Damaged(f"its manifest can't be read ({error.strerror})") from None


def parsed(name: str, manifest: bytes) -> dict[str, Any]:
    """A manifest that was read. Raises Damaged if it isn't the one that the block is named after."""
    if digest(manifest) != name:
        raise Damaged("its manifest has other content than written")
    found: dict[str, Any] = json.loads(manifest)
    for path in found["files"]:
        if path.startswith("/") or ".." in path.split("/"):
            raise Damaged(f"'{path}' leaves the block's folder")
    return found


def read(medium: Medium, name: str) -> Block:
    """A block, checked: metadata by digest, chunks by the crc32c that the manifest gives. Raises Damaged."""
    return opened(load(medium, name))


def load(medium: Medium, name: str) -> dict[str, bytearray]:
    """The files of a block, its manifest with them, checked as ``read`` does. Raises Damaged."""
    try:
        manifest = get(medium, manifest_at(name))
    except OSError as error:
        raise Damaged(f"its manifest can't be read ({error.strerror})") from None
    return {MANIFEST: bytearray(manifest), **read_files(medium, name, parsed(name, manifest)["files"])}


def opened(files: Mapping[str, bytearray]) -> Block:
    """A block of its files, which were checked; it takes the memory over."""
    manifest = json.loads(files[MANIFEST])
    outputs = {output: record(output, about, files) for output, about in manifest["outputs"].items()}
    return Block(tuple(manifest["keys"]), outputs, manifest["provenance"])


def verify(medium: Medium, name: str) -> None:
    """Read a block and compare the digest of every file. Raises Damaged."""
    files = read_manifest(medium, name)["files"]
    for path, about in files.items():  # one by one, which takes little memory
        read_files(medium, name, {path: {k: v for k, v in about.items() if k != "crc32c"}})


def read_files(medium: Medium, name: str, files: Mapping[str, Mapping[str, Any]]) -> dict[str, bytearray]:
    """Files of a block, checked. Raises Damaged."""
    data = medium.read(name, {path: about["size"] for path, about in files.items()})
    for path, about in files.items():
        if len(data[path]) != about["size"] or not intact(data[path], about):
            raise Damaged(f"{path} has other content than written")
    return data


def intact(data: bytearray, about: Mapping[str, Any]) -> bool:
    """Whether a file's content is what the manifest says."""
    if "crc32c" not in about:
        return bool(digest(memoryview(data)) == about["sha256"])
    body = np.frombuffer(data, dtype=np.uint8, count=len(data) - 4)
    return bool(zarr_format.checksum(body) == about["crc32c"] == int.from_bytes(data[-4:], "little"))


def record(output: str, about: Mapping[str, Any], data: Mapping[str, bytearray]) -> Record:
    """An output's record from its files. Raises Unknown for a kind of record of which no pack tells."""
    tensors: dict[str, Tensor] = {}
    for field, kind in about["fields"].items():
        inside = f"{output}/{field}/"
        chunk = next(path for path in data if path.startswith(inside) and not path.endswith(".json"))
        tensors[field] = zarr_format.decode(data[chunk], tuple(kind["shape"]), kind["dtype"])
    if about["record"] not in REGISTRY:
        load_packs()  # the state of a loop is a record of the pack that the loop is from
    try:
        return rebuild(about["record"], tensors, about["metadata"])
    except (KeyError, TypeError) as error:
        said = f"the store holds a '{about['record']}', which this installation doesn't know ({error})"
        raise Unknown(said, hint="install the node pack that it comes from, in the version that wrote it") from None
