"""``extends``: a graph file that starts from another one, merged so that every part keeps its place in its own file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowgen.errors import Position, UserError, did_you_mean
from flowgen.language.sources import real
from flowgen.language.tree import Steps, Tree, read_file

MAX_FILES = 8
"""a graph and what it extends"""
BY_NAME = ("inputs", "sweep", "defaults", "nodes")
"""sections that merge entry by entry"""


@dataclass(slots=True)
class Files:
    """The files that a graph was read from."""

    tree: Tree
    """all of them, merged"""
    folders: dict[str, Path] = field(default_factory=dict)
    """by file, as positions name it: what its paths are relative to"""
    bases: dict[str, str] = field(default_factory=dict)
    """texts of the files that were extended"""


def extended(tree: Tree, file: str, folder: Path) -> Files:
    """A graph with what it extends. Raises UserError."""
    trees, folders, bases = [tree], {file: folder}, dict[str, str]()
    trail = [real(folder / Path(file).name)]
    while isinstance(trees[-1].data, dict) and "extends" in trees[-1].data:
        path, at = base_of(trees[-1], folder), trees[-1].at(("extends",))
        if real(path) in trail:
            round_trip = " → ".join(p.name for p in [*trail[trail.index(real(path)) :], path])
            raise UserError(f"'extends' goes in a circle: {round_trip}", at)
        if len(trees) == MAX_FILES:
            raise UserError(f"'extends' goes through more than {MAX_FILES} files", at)
        try:
            trees.append(read_file(path))
            bases[str(path)] = path.read_text(encoding="utf-8")
        except UserError as error:
            raise error.located(at) from None
        folder = path.parent
        folders[str(path)] = folder
        trail.append(real(path))
    if len(trees) > 1:
        for part in trees:
            check_version(part)
    merged = trees.pop()
    while trees:
        merged = merge(merged, trees.pop())
    return Files(merged, folders, bases)


def base_of(tree: Tree, folder: Path) -> Path:
    """The file that a graph extends."""
    text, at = tree.data["extends"], tree.at(("extends",))
    if not isinstance(text, str) or not text or "\0" in text:
        raise UserError("'extends' takes the name of one graph file", at, "extends: ./base.yaml")
    if text.startswith("std:"):
        raise UserError(f"'{text}' is not available yet", at, "extends: ./base.yaml")
    return folder / text


def check_version(tree: Tree) -> None:
    """Each file says which language it is written in."""
    if not isinstance(tree.data, dict):
        raise UserError("a graph file is a mapping", tree.at(()), "start with 'flowgen: 1' and 'nodes:'")
    if tree.data.get("flowgen") != 1 or isinstance(tree.data["flowgen"], bool):
        said = "this version of flowgen reads language version 1" if "flowgen" in tree.data else "'flowgen' is missing"
        raise UserError(said, tree.at(("flowgen",)), "write 'flowgen: 1'")


def merge(base: Tree, over: Tree) -> Tree:
    """``base`` with what ``over`` says instead: name by name, and in a node key by key; null removes."""
    data = dict(base.data)
    replaced: set[Steps] = set()
    unused: set[Steps] = set()
    for key, value in over.data.items():
        if key == "extends":
            unused.add((key,))
        elif key in BY_NAME and isinstance(value, dict) and isinstance(data.get(key, {}), dict):
            data[key] = merged_section(key, data.get(key, {}), value, over, replaced)
        elif key in BY_NAME and not isinstance(data.get(key, {}), dict):
            unused.add((key,))  # the base is wrong there, and will be told so
        else:
            data[key] = value
            replaced.add((key,))
    keys, values = (
        without(old, replaced) | without(new, unused)
        for old, new in ((base.keys, over.keys), (base.values, over.values))
    )
    return Tree(data, keys, values)


def merged_section(
    section: str, base: dict[Any, Any], over: dict[Any, Any], tree: Tree, replaced: set[Steps]
) -> dict[Any, Any]:
    """A section's entries; nodes that both files have merge key by key."""
    result = dict(base)
    for name, value in over.items():
        path: Steps = (section, name)
        if value is None and name not in base and section == "inputs":
            result[name] = value
        elif section == "nodes" and isinstance(value, dict) and isinstance(result.get(name), dict):
            entry = dict(result[name])
            for key, part in value.items():
                replaced.add((*path, key))
                put(entry, key, part, f"'{name}' has no '{key}' to remove", tree.at((*path, key), key=True))
            result[name] = entry
        else:
            replaced.add(path)
            what = {"nodes": "node", "inputs": "input", "sweep": "axis", "defaults": "default"}[section]
            put(result, name, value, f"there is no {what} '{name}' to remove", tree.at(path, key=True))
    return result


def put(entries: dict[Any, Any], name: Any, value: Any, missing: str, at: Position | None) -> None:
    """Set an entry, or remove it by null."""
    if value is not None:
        entries[name] = value
    elif name in entries:
        del entries[name]
    else:
        raise UserError(missing, at, did_you_mean(str(name), map(str, entries)))


def without(places: dict[Steps, Position], gone: set[Steps]) -> dict[Steps, Position]:
    """Where parts of a tree stand, but for some."""
    return {path: at for path, at in places.items() if not any(path[:n] in gone for n in (1, 2, 3))}
