"""Entries of a store moved to another: a folder, or one tar file, of whole blocks, each verified on arrival."""

from __future__ import annotations

import io
import os
import re
import tarfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from flowgen.errors import UserError
from flowgen.store import block as blocks
from flowgen.store.medium import BLOCKS, MANIFEST, Damaged, Medium, folder_of, manifest_at
from flowgen.store.patience import Unwritable
from flowgen.store.places import opened
from flowgen.store.store import Store

Content: TypeAlias = dict[str, bytes]
"""a block's files by path"""
NAME = re.compile(r"[0-9a-f]{40}")


@dataclass(slots=True)
class Moved:
    """What an export or import did."""

    blocks: int = 0
    items: int = 0
    bytes: int = 0
    there: int = 0
    """blocks that the target had already"""
    bad: dict[str, str] = field(default_factory=dict)
    """blocks that are damaged, with what is wrong; they are not copied"""
    missing: int = 0
    """items asked for that the store doesn't have"""

    def count(self, manifest: dict[str, Any]) -> None:
        """One block more."""
        self.blocks += 1
        self.items += len(manifest["keys"])
        self.bytes += sum(file["size"] for file in manifest["files"].values())


def export(store: Store, keys: Iterable[bytes], target: Path | str) -> Moved:
    """Copy the blocks that hold these items to a folder, a URL, or a tar file if the name ends with ``.tar``.

    Raises UserError where the target can't be written.
    """
    wanted = {key.hex() for key in keys}
    places = store.find(wanted)
    done = Moved(missing=len(wanted) - len(places))
    names = sorted({place.block for place in places.values()})
    try:
        if isinstance(target, Path) and target.suffix == ".tar":
            pack(store, names, target, done)
            return done
        medium = opened(target)
        medium.prepare()
        for name, files, manifest in verified(store, names, done):
            if medium.get([manifest_at(name)]):
                done.there += 1
                continue
            blocks.publish_files(medium, name, {path: (data,) for path, data in files.items()})
            done.count(manifest)
    except OSError as error:
        raise Unwritable(f"'{target}' can't be written: {error.strerror or error}") from None
    return done


def pack(store: Store, names: Iterable[str], target: Path, done: Moved) -> None:
    """Write blocks to a tar file, which is there when it is whole."""
    aside = target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}")
    try:
        with tarfile.open(aside, "w") as tar:
            for name, files, manifest in verified(store, names, done):
                for path, content in files.items():
                    info = tarfile.TarInfo(f"{folder_of(name)}/{path}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
                done.count(manifest)
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)


def verified(store: Store, names: Iterable[str], done: Moved) -> Iterator[tuple[str, Content, dict[str, Any]]]:
    """Blocks of a store with the content of their files; damaged ones are noted and left out."""
    for name in names:
        try:
            files = content(store.medium, name)
            yield name, files, checked(name, files)
        except Damaged as error:
            done.bad[name] = str(error)


def content(medium: Medium, name: str) -> Content:
    """The files of a block that its manifest names, as they are. Raises Damaged."""
    found = medium.get([manifest_at(name)])
    if manifest_at(name) not in found:
        raise Damaged("its manifest is gone")
    manifest = found[manifest_at(name)].data
    sizes = {path: about["size"] for path, about in blocks.parsed(name, manifest)["files"].items()}
    return {MANIFEST: manifest} | {path: bytes(data) for path, data in medium.read(name, sizes).items()}


def checked(name: str, files: dict[str, bytes]) -> dict[str, Any]:
    """The manifest of a block whose files are all what it says. Raises Damaged."""
    manifest = blocks.parsed(name, files.get(MANIFEST, b""))
    if set(manifest["files"]) != set(files) - {MANIFEST}:
        raise Damaged("files are missing, or there are some that don't belong to it")
    for path, about in manifest["files"].items():
        if len(files[path]) != about["size"] or blocks.digest(files[path]) != about["sha256"]:
            raise Damaged(f"{path} has other content than written")
    return manifest


def import_(store: Store, source: Path | str) -> Moved:
    """Take over the blocks of an exported folder, of another store or of a tar file. Raises UserError."""
    done = Moved()
    for name, read in packed(source):
        if store.medium.get([manifest_at(name)]):
            done.there += 1
            continue
        try:
            files = read()
            manifest = checked(name, files)
        except Damaged as error:
            done.bad[name] = str(error)
            continue
        blocks.publish_files(store.medium, name, {path: (data,) for path, data in files.items()})
        done.count(manifest)
        store.learn([name])
    return done


def packed(source: Path | str) -> Iterator[tuple[str, Callable[[], Content]]]:
    """The blocks of a store or a tar file: name, and what reads the content by path. Raises UserError."""
    if isinstance(source, str) or (source / BLOCKS).is_dir():
        medium = opened(source)
        for shard in medium.shards({}):
            for name in sorted(shard.blocks):
                if NAME.fullmatch(name):
                    yield name, partial(content, medium, name)
        return
    for name, files in unpacked(source):
        yield name, partial(dict, files)


def unpacked(source: Path) -> Iterator[tuple[str, Content]]:
    """The blocks of a tar file: name, and content by path. Raises UserError."""
    try:
        with tarfile.open(source) as tar:
            name, files = "", dict[str, bytes]()
            for member in tar:
                parts = PurePosixPath(member.name).parts
                if not member.isfile() or len(parts) < 4 or parts[0] != BLOCKS or not NAME.fullmatch(parts[2]):
                    continue
                if parts[2] != name and files:
                    yield name, files
                    files = {}
                name = parts[2]
                member_file = tar.extractfile(member)
                files["/".join(parts[3:])] = member_file.read() if member_file else b""
            if files:
                yield name, files
    except (OSError, tarfile.TarError) as error:
        hint = "a folder or a .tar file that 'flowgen cache export' wrote, or another store"
        raise UserError(f"'{source}' can't be read: {error}", hint=hint) from None
