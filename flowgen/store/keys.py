"""Keys: what determines a result, hashed. Every key in flowgen is made here.

A key holds the node's type and version, its canonical parameters, its parents' keys, the digests of the model parts it
uses, and the numerics. It holds no names, paths, dates, batches or devices. Golden values in the tests keep it stable;
whoever changes what a key is made of raises FORMAT.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from flowgen.errors import with_article
from flowgen.language.expressions import Schedule

FORMAT = 1
LENGTH = 40
"""characters of a key: 160 bits in hexadecimal"""


def digest(tag: str, *fields: str) -> str:
    """A tagged hash of texts; lengths are hashed too, so no two lists of fields read the same."""
    said = "".join([f"\0{len(field)}\0{field}" for field in fields])
    return hashlib.blake2b(f"flowgen {FORMAT} {tag}{said}".encode(), digest_size=LENGTH // 2).hexdigest()


def canonical(value: Any) -> str:
    """A parameter's value as canonical JSON: sorted, no spaces, whole numbers and numbers told apart."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical_mapping(names: Iterable[str], texts: Iterable[str | None]) -> str:
    """``canonical`` of a mapping whose values are canonical already; None leaves an entry out."""
    entries = sorted([(name, text) for name, text in zip(names, texts, strict=True) if text is not None])
    return '{"mapping":{' + ",".join([f"{quoted(name)}:{text}" for name, text in entries]) + "}}"


@lru_cache(maxsize=4096)
def quoted(name: str) -> str:
    """A name in JSON."""
    return json.dumps(name, ensure_ascii=False)


def plain(value: Any) -> Any:
    """A value as JSON can hold it. Raises TypeError for a kind that has no canonical form."""
    if isinstance(value, Schedule):
        pieces = [[p.by, plain(p.low), plain(p.high), plain(p.value)] for p in value.pieces]
        return {"schedule": pieces, "else": plain(value.otherwise)}
    if isinstance(value, float):
        return {"number": value.hex()}
    if isinstance(value, Mapping):
        return {"mapping": {str(name): plain(entry) for name, entry in value.items()}}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise TypeError(f"{with_article(type(value).__name__)} can't be part of a key")


def node_head(type: str, version: int, numerics: str) -> str:
    """What every item of a node type shares."""
    return digest("node", type, str(version), numerics)


def model_digest(parts: Iterable[str]) -> str:
    """The parts of a model that a port uses, in the order of its declaration."""
    return digest("model", *parts)


def item_key(head: str, params: str, ports: Sequence[tuple[str, Sequence[str]]]) -> str:
    """One item of a function: ``ports`` are (name, the keys or model digests wired to it), by name."""
    fields = [field for name, keys in ports for field in (name, str(len(keys)), *keys)]
    return digest("item", head, params, *fields)


def emitted(depth: int, output: str) -> str:
    """What stands for a per-step output inside a body: how deep its loop is nested, and which output."""
    return digest("emitted", str(depth), output)


def output_of(key: str, output: str) -> str:
    """Another output of an item than the main one, which is the item itself."""
    return digest("output", key, output)


def pooled(keys: Iterable[str]) -> str:
    """A set of items that are pooled: order means nothing, how often each occurs does."""
    return digest("pooled", *sorted(keys))


def content(files: Sequence[tuple[str, str]]) -> str:
    """A file or folder that a parameter names: (relative name, digest) of each file."""
    return digest("content", *(field for pair in sorted(files) for field in pair))
