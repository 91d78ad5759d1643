"""A block: many items of one node in one folder, published whole or not at all, verified when it is read."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from flowgen.errors import UserError
from flowgen.store import zarr_format
from flowgen.values.record import Record, rebuild

MANIFEST = "block.json"


@lru_cache(maxsize=1)
def syncers(process: int) -> ThreadPoolExecutor:
    """Threads of a process: fsync is the cost of publishing, so the paths of a block are synced side by side."""
    return ThreadPoolExecutor(8, thread_name_prefix=f"sync-{process}")


class Damaged(Exception):
    """A block that isn't what was written."""


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


def folder_of(root: Path, name: str) -> Path:
    """Where a block lies."""
    return root / "blocks" / name[:2] / name


def publish(root: Path, keys: Sequence[str], outputs: Mapping[str, Record], provenance: Mapping[str, Any]) -> str:
    """Write a block aside, sync it, and give it its name by one rename. Raises UserError where the disk is full."""
    files, manifest = contents(keys, outputs, provenance)
    name = digest(manifest)
    aside = root / "tmp" / uuid.uuid4().hex
    target = folder_of(root, name)
    try:
        write_synced(aside, {**files, MANIFEST: manifest})
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(aside, target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            shutil.rmtree(aside)  # the same block is there already
        sync(target.parent)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "make room or give another place with --store; what was published is kept"
            raise UserError(f"the disk of the store {root} is full", hint=hint) from None
        raise
    return name


def contents(
    keys: Sequence[str], outputs: Mapping[str, Record], provenance: Mapping[str, Any]
) -> tuple[dict[str, bytes], bytes]:
    """A block's files by relative path, and its manifest."""
    files: dict[str, bytes] = {"zarr.json": zarr_format.GROUP}
    about: dict[str, Any] = {}
    for output, value in outputs.items():
        files[f"{output}/zarr.json"] = zarr_format.GROUP
        fields = {}
        for field, tensor in value.tensors().items():
            if len(tensor) != len(keys):
                raise ValueError(f"'{output}.{field}' has {len(tensor)} items, not {len(keys)}")
            for path, data in zarr_format.array_files(tensor).items():
                files[f"{output}/{field}/{path}"] = data
            fields[field] = {"shape": list(tensor.shape), "dtype": str(tensor.dtype)}
        about[output] = {"record": type(value).__name__, "metadata": value.metadata(), "fields": fields}
    manifest = {
        "version": 1,
        "keys": list(keys),
        "outputs": about,
        "files": {path: {"size": len(data), "blake2b": digest(data)} for path, data in sorted(files.items())},
        "provenance": dict(provenance),
    }
    return files, json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()


def digest(data: bytes) -> str:
    """160 bits of blake2b."""
    return hashlib.blake2b(data, digest_size=20).hexdigest()


def write_synced(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files and make sure that they and their folders are on the disk."""
    folders = {folder} | {parent for path in files for parent in (folder / path).parents if folder in parent.parents}
    for path in sorted(folders):
        path.mkdir(parents=True, exist_ok=True)
    threads = syncers(os.getpid())
    list(threads.map(write_file, [folder / path for path in files], files.values()))
    list(threads.map(sync, folders))


def write_file(path: Path, data: bytes) -> None:
    """Write one file through to the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync(folder: Path) -> None:
    """Make sure that a folder's entries are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_manifest(root: Path, name: str) -> dict[str, Any]:
    """A block's manifest. Raises Damaged if it is gone or not the one that the block is named after."""
    try:
        data = (folder_of(root, name) / MANIFEST).read_bytes()
    except OSError as error:
        raise Damaged(f"its manifest can't be read ({error.strerror})") from None
    if digest(data) != name:
        raise Damaged("its manifest has other content than written")
    found: dict[str, Any] = json.loads(data)
    return found


def read(root: Path, name: str) -> Block:
    """A block, every file checked against the manifest. Raises Damaged."""
    manifest = read_manifest(root, name)
    folder, data = folder_of(root, name), {}
    for path, about in manifest["files"].items():
        try:
            data[path] = (folder / path).read_bytes()
        except OSError as error:
            raise Damaged(f"{path} can't be read ({error.strerror})") from None
        if len(data[path]) != about["size"] or digest(data[path]) != about["blake2b"]:
            raise Damaged(f"{path} has other content than written")
    outputs = {output: record(output, about, data) for output, about in manifest["outputs"].items()}
    return Block(tuple(manifest["keys"]), outputs, manifest["provenance"])


def record(output: str, about: Mapping[str, Any], data: Mapping[str, bytes]) -> Record:
    """An output's record from its files. Raises Damaged for a kind of record that isn't known here."""
    tensors: dict[str, Tensor] = {}
    for field, kind in about["fields"].items():
        chunk = "/".join([output, field, "c", *["0"] * len(kind["shape"])])
        tensors[field] = zarr_format.decode(data[chunk], tuple(kind["shape"]), kind["dtype"])
    try:
        return rebuild(about["record"], tensors, about["metadata"])
    except (KeyError, TypeError) as error:
        raise Damaged(f"it holds a {about['record']}, which this installation doesn't know ({error})") from None
