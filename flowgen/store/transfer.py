"""Entries of a store moved to another: a folder, or one tar file, of whole blocks, each verified on arrival."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from flowgen.errors import UserError
from flowgen.store import block as blocks
from flowgen.store.aside import Unwritable
from flowgen.store.block import MANIFEST, Damaged
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


def export(store: Store, keys: Iterable[bytes], target: Path) -> Moved:
    """Copy the blocks that hold these items to a folder, or to a tar file if the name ends with ``.tar``.

    Raises UserError where the target can't be written.
    """
    wanted = {key.hex() for key in keys}
    places = store.find(wanted)
    done = Moved(missing=len(wanted) - len(places))
    names = sorted({place.block for place in places.values()})
    try:
        if target.suffix != ".tar":
            (target / "blocks").mkdir(parents=True, exist_ok=True)
            for name, files, manifest in verified(store, names, done):
                if blocks.folder_of(target, name).exists():
                    done.there += 1
                    continue
                data = files.pop(MANIFEST)
                blocks.publish_files(target, name, files, data)
                done.count(manifest)
            return done
        aside = target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}")
        try:
            with tarfile.open(aside, "w") as tar:
                for name, files, manifest in verified(store, names, done):
                    for path, content in files.items():
                        info = tarfile.TarInfo(f"blocks/{name[:2]}/{name}/{path}")
                        info.size = len(content)
                        tar.addfile(info, io.BytesIO(content))
                    done.count(manifest)
            os.replace(aside, target)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise Unwritable(f"'{target}' can't be written: {error.strerror or error}") from None
    return done


def verified(store: Store, names: Iterable[str], done: Moved) -> Iterator[tuple[str, dict[str, bytes], dict[str, Any]]]:
    """Blocks of a store with the content of their files; damaged ones are noted and left out."""
    for name in names:
        folder = blocks.folder_of(store.path, name)
        try:
            files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
            yield name, files, checked(name, files)
        except (Damaged, OSError) as error:
            done.bad[name] = str(error)


def checked(name: str, files: dict[str, bytes]) -> dict[str, Any]:
    """The manifest of a block whose files are all what it says. Raises Damaged."""
    data = files.get(MANIFEST, b"")
    if blocks.digest(data) != name:
        raise Damaged("its manifest has other content than written")
    manifest: dict[str, Any] = json.loads(data)
    if set(manifest["files"]) != set(files) - {MANIFEST}:
        raise Damaged("files are missing, or there are some that don't belong to it")
    for path, about in manifest["files"].items():
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise Damaged(f"'{path}' leaves the block's folder")
        if len(files[path]) != about["size"] or blocks.digest(files[path]) != about["sha256"]:
            raise Damaged(f"{path} has other content than written")
    return manifest


def import_(store: Store, source: Path) -> Moved:
    """Take over the blocks of an exported folder, of another store or of a tar file. Raises UserError."""
    done = Moved()
    for name, files in packed(source):
        if blocks.folder_of(store.path, name).exists():
            done.there += 1
            continue
        try:
            manifest = checked(name, files)
        except Damaged as error:
            done.bad[name] = str(error)
            continue
        data = files.pop(MANIFEST)
        blocks.publish_files(store.path, name, files, data)
        store.enter(store.about(name, manifest), manifest["keys"])
        done.count(manifest)
    return done


def packed(source: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The blocks of a folder or a tar file: name, and content by path. Raises UserError."""
    if (source / "blocks").is_dir():
        for folder in sorted((source / "blocks").glob("??/*")):
            if NAME.fullmatch(folder.name):
                files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
                yield folder.name, files
        return
    try:
        with tarfile.open(source) as tar:
            name, files = "", {}
            for member in tar:
                parts = PurePosixPath(member.name).parts
                if not member.isfile() or len(parts) < 4 or parts[0] != "blocks" or not NAME.fullmatch(parts[2]):
                    continue
                if parts[2] != name and files:
                    yield name, files
                    files = {}
                name = parts[2]
                content = tar.extractfile(member)
                files["/".join(parts[3:])] = content.read() if content else b""
            if files:
                yield name, files
    except (OSError, tarfile.TarError) as error:
        hint = "a folder or a .tar file that 'flowgen cache export' wrote, or another store"
        raise UserError(f"'{source}' can't be read: {error}", hint=hint) from None
