"""A block: many items of one node in one file, published whole or not at all, verified when it is read.

The file is an archive (``zip_format``) of a Zarr group (``zarr_format``) and, last, the manifest. All its bytes follow
from the manifest and the chunks, so that a read compares the manifest's digest, which is the block's name, the frame,
which is made anew, and a checksum of each file.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from zlib_ng import zlib_ng as zlib

from flowgen.errors import UserError
from flowgen.node.registry import load_packs
from flowgen.store import zarr_format
from flowgen.store.aside import LARGE
from flowgen.store.manifest import NONE, Pieces, describe, digest, entries, is_chunk, manifest_of, parsed
from flowgen.store.medium import Damaged, Medium, Writing, place_of
from flowgen.store.patience import patiently
from flowgen.store.zarr_format import CHECKSUM, Buffer
from flowgen.store.zip_format import Entry, frame, heads, last_file
from flowgen.values.record import REGISTRY, Record, rebuild

Files: TypeAlias = Mapping[str, Buffer]
"""a block's files but for its manifest, by path in the order in which they are written; a chunk's checksum is missing
"""
END = 1 << 16
"""bytes from a block's end that are read for its manifest at first"""


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
        """Memory that it keeps: that of what its tensors are views of."""
        tensors = (tensor for value in self.outputs.values() for tensor in value.tensors().values())
        return sum({held.data_ptr(): held.nbytes() for held in (t.untyped_storage() for t in tensors)}.values())


class End(NamedTuple):
    """What the end of a block tells."""

    manifest: bytes
    """not checked; empty where none was found"""
    size: int
    """bytes of the block"""
    time: float
    """when it was written, as of ``Entry``"""


def publish(
    medium: Medium, keys: Sequence[str], outputs: Mapping[str, Record], provenance: Mapping[str, Any]
) -> tuple[str, Pieces]:
    """Write a block so that it is there whole or not at all; its name and bytes. Raises Unwritable."""
    files = contents(keys, outputs)

    def work() -> tuple[str, Pieces]:
        with medium.writing(lasting=True) as file:
            begun = begin(file, files)
            name, pieces = made(keys, outputs, files, provenance)  # meanwhile the disk works
            write(file, pieces, begun)
            file.settle(place_of(name))
        return name, pieces

    return patiently(work, medium.place)


def put(medium: Medium, name: str, pieces: Pieces) -> None:
    """Put a block that was made before into a store. Raises Unwritable."""

    def work() -> None:
        with medium.writing(lasting=True) as file:
            file.write(0, pieces)
            file.settle(place_of(name))

    patiently(work, medium.place)


def begin(file: Writing, files: Files) -> set[int]:
    """Write the numbers of large chunks, whose place doesn't depend on what is said of them; where they begin."""
    if max(map(len, files.values())) < LARGE:
        return set()
    sizes = {path: len(data) + CHECKSUM * is_chunk(path) for path, data in files.items()}
    _, starts = heads([Entry(path, size, 0, is_chunk(path)) for path, size in sizes.items()])
    begun = {start: data for start, data in zip(starts, files.values(), strict=True) if len(data) >= LARGE}
    for start, data in begun.items():
        file.write(start, (data,))
    return set(begun)


def write(file: Writing, pieces: Pieces, begun: Container[int]) -> None:
    """Write a block but for the pieces that begin where something was written."""
    at, since, run = 0, 0, list[Buffer]()
    for piece in pieces:
        if at in begun:
            file.write(since, run)
            since, run = at + len(piece), []
        else:
            run.append(piece)
        at += len(piece)
    file.write(since, run)


def made(
    keys: Sequence[str], outputs: Mapping[str, Record], files: Files, provenance: Mapping[str, Any]
) -> tuple[str, Pieces]:
    """A block's name and bytes."""
    whole = {path: (data, zarr_format.ending(data)) if is_chunk(path) else (data,) for path, data in files.items()}
    about = {path: describe(path, data) for path, data in whole.items()}
    manifest = manifest_of(keys, outputs, about, provenance)
    framed = frame(entries(about, manifest))
    pieces: list[Buffer] = []
    for head, data in zip(framed.heads, [*whole.values(), (manifest,)], strict=True):
        pieces += [head, *data]
    return digest(manifest), [*pieces, framed.end]


def contents(keys: Sequence[str], outputs: Mapping[str, Record]) -> Files:
    """The files of a block. Raises ValueError for outputs that haven't one item for each key."""
    files: dict[str, Buffer] = {"zarr.json": zarr_format.GROUP}
    for output, value in outputs.items():
        files[f"{output}/zarr.json"] = zarr_format.GROUP
        for field, tensor in value.tensors().items():
            if len(tensor) != len(keys):
                raise ValueError(f"'{output}.{field}' has {len(tensor)} items, not {len(keys)}")
            for path, data in zarr_format.array_files(tensor).items():
                files[f"{output}/{field}/{path}"] = data
    return dict(sorted(files.items()))


def ends(medium: Medium, names: Iterable[str]) -> dict[str, End]:
    """What the ends of blocks tell; those that aren't there are left out. Raises OSError."""
    places = {place_of(name): name for name in names}
    found = medium.get(places, last=END)
    for place, got in found.items():
        last = last_file(got.data)
        if last and got.size - len(got.data) > last[0] >= 0:  # a long manifest: once more, as much as is needed
            found |= medium.get([place], last=got.size - last[0])
    told = {}
    for place, got in found.items():
        at, size = last_file(got.data) or (0, 0)
        start = at - (got.size - len(got.data))
        told[places[place]] = End(got.data[start : start + size] if start >= 0 else b"", got.size, got.time)
    return told


def read_manifest(medium: Medium, name: str) -> dict[str, Any]:
    """A block's manifest. Raises Damaged if it is gone or not the one that the block is named after."""
    try:
        found = ends(medium, [name])
    except OSError as error:
        raise Damaged(f"it can't be read ({error.strerror})") from None
    if name not in found:
        raise Damaged("it is gone")
    return parsed(name, found[name].manifest)


def read(medium: Medium, name: str) -> Block:
    """A block, checked: all but the chunks by what the manifest implies, those by their crc32c. Raises Damaged."""
    return opened(name, load(medium, name))


def load(medium: Medium, name: str) -> Tensor:
    """A block's bytes, as they are. Raises Damaged."""
    try:
        return medium.read(place_of(name))
    except FileNotFoundError:
        raise Damaged("it is gone") from None
    except OSError as error:
        raise Damaged(f"it can't be read ({error.strerror})") from None


def verify(medium: Medium, name: str) -> None:
    """Read a block and compare every byte, by two checksums. Raises Damaged."""
    checked(name, load(medium, name), thoroughly=True)


def opened(name: str, data: Tensor) -> Block:
    """A block of its bytes, of which its tensors are views. Raises Damaged."""
    manifest, files = checked(name, data)
    try:
        outputs = {output: record(output, about, files) for output, about in manifest["outputs"].items()}
        return Block(tuple(manifest["keys"]), outputs, manifest["provenance"])
    except (AttributeError, KeyError, TypeError, ValueError):
        raise Damaged(NONE) from None


def checked(name: str, data: Tensor, thoroughly: bool = False) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The manifest of a block and its files by path, as views of its bytes. Raises Damaged.

    thoroughly: also compares the CRC-32 of chunks.
    """
    held = data.numpy()
    at, size = last_file(held[-END:].tobytes()) or (0, 0)
    manifest = held[at : at + size].tobytes()
    found = parsed(name, manifest)
    try:
        listed = entries(found["files"], manifest)
        framed = frame(listed)
    except (AttributeError, KeyError, TypeError, struct.error):
        raise Damaged(NONE) from None
    if framed.size != len(held):
        raise Damaged(f"it has {len(held)} bytes, not {framed.size}")
    files: dict[str, Tensor] = {}
    for entry, head, start in zip(listed, framed.heads, framed.starts, strict=True):
        if held[start - len(head) : start].tobytes() != head:
            raise Damaged(f"the header of {entry.path} has other content than written")
        if not intact(held[start : start + entry.size], entry, found["files"].get(entry.path, {}), thoroughly):
            raise Damaged(f"{entry.path} has other content than written")
        files[entry.path] = data[start : start + entry.size]
    if held[framed.size - len(framed.end) :].tobytes() != framed.end:
        raise Damaged("its directory has other content than written")
    return found, files


def intact(data: NDArray[np.uint8], entry: Entry, about: Mapping[str, int], thoroughly: bool) -> bool:
    """Whether a file's content is what the manifest says."""
    if is_chunk(entry.path):
        sum_ = int.from_bytes(data[-CHECKSUM:].tobytes(), "little")
        if not zarr_format.checksum(data[:-CHECKSUM]) == about["crc32c"] == sum_:
            return False
        if not thoroughly:
            return True
    return zlib.crc32(data.data) == entry.crc


def record(output: str, about: Mapping[str, Any], files: Mapping[str, Tensor]) -> Record:
    """An output's record of a block's files. Raises Unknown for a kind of record of which no pack tells."""
    tensors: dict[str, Tensor] = {}
    for field, kind in about["fields"].items():
        chunk = files[f"{output}/{field}/{zarr_format.chunk_at(len(kind['shape']))}"]
        tensors[field] = zarr_format.decode(chunk, tuple(kind["shape"]), kind["dtype"])
    if about["record"] not in REGISTRY:
        load_packs()  # the state of a loop is a record of the pack that the loop is from
    try:
        return rebuild(about["record"], tensors, about["metadata"])
    except (KeyError, TypeError) as error:
        said = f"the store holds a '{about['record']}', which this installation doesn't know ({error})"
        raise Unknown(said, hint="install the node pack that it comes from, in the version that wrote it") from None
