"""Node types by name: registered by packs through the entry-point group ``flowgen.nodes``."""

from __future__ import annotations

import importlib.metadata
import inspect
import keyword
import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from flowgen.errors import UserError, did_you_mean
from flowgen.language.expressions import Schedule
from flowgen.language.sources import real
from flowgen.node.kinds import Loop, Named, Reduce, Source
from flowgen.node.signature import Signature, signature_of
from flowgen.values.model import Reference

Kind = Literal["function", "loop", "reduce"]
C = TypeVar("C", bound=Callable[..., Any])

_TYPES: dict[str, NodeType] = {}
_SCHEMES: dict[str, tuple[Callable[[str], Path], Callable[[], Sequence[str]]]] = {}
_loaded = False
FEW = 3
"""names that a hint offers at most"""


@dataclass(frozen=True)
class NodeType:
    """A registered node: its code, its contract and how the engine may treat it."""

    name: str
    code: Any
    kind: Kind
    version: int
    """part of every key; raised when the code computes something else"""
    signature: Signature = field(repr=False)
    stored: bool
    """whether results are worth keeping; what is cheaper to compute than to read is not"""
    unused: Callable[[dict[str, Any]], set[str]] | None = None
    """ports that certain parameter values leave unread"""
    abstract: Callable[..., Any] | None = None
    """the outputs' shapes, for code that can't run without numbers"""
    passes: bool = False
    """returns one element of its only port, a list, as it is: the one that its parameter ``index`` numbers"""
    added: tuple[str, ...] = ()
    """parameters younger than the version, which compute at their default what the code computed without them"""
    cautions: Callable[..., list[UserError]] | None = None
    """what is allowed and hardly meant, from the arguments of all points"""
    file: tuple[str, str, str] | None = field(default=None, repr=False)
    """for a type from a file: its path, its text, and the name in it"""

    def unread(self, params: dict[str, Any], wires: Mapping[str, Sequence[Any]]) -> frozenset[str]:
        """What some parameter values leave unread: names of ports, or ``port[n]`` for an element of a list."""
        if not self.passes:
            return frozenset(self.unused(params)) if self.unused else frozenset()
        read = possible(params["index"])
        return frozenset(f"{port}[{n}]" for port, listed in wires.items() for n in range(len(listed)) if n not in read)

    def silent(self, param: str, value: Any) -> bool:
        """Whether a parameter's value is in no key: the default of a younger one, so that older results are found."""
        return param in self.added and bool(value == self.signature.params[param].default)

    @property
    def doc(self) -> str:
        """The code's docstring."""
        return inspect.getdoc(self.code) or ""

    @cached_property
    def uses_model(self) -> bool:
        """Whether a call runs a network (or another part of a model)."""
        return any(port.parts for port in self.signature.ports.values())

    @cached_property
    def has_keywords(self) -> bool:
        """Whether an argument's name is a word of Python's."""
        return any(map(keyword.iskeyword, (*self.signature.ports, *self.signature.params)))

    @property
    def cuts(self) -> tuple[str, ...]:
        """Parameters that only say which stretch of a loop is taken."""
        return self.code.cuts if self.kind == "loop" else ()

    @property
    def is_reference(self) -> bool:
        """Whether the result is known when planning and holds no tensors, as a model."""
        return issubclass(next(iter(self.signature.outputs.values())), Reference)

    def __reduce__(self) -> Any:
        if self.file:
            from flowgen.node.files import from_source

            return from_source, self.file
        if _TYPES.get(self.name) is self and not self.code.__module__.startswith("__main__"):
            return _registered, (self.name, self.code.__module__)
        return NodeType, tuple(getattr(self, field.name) for field in fields(self))


def possible(value: Any) -> set[Any]:
    """The values that a parameter takes at some step."""
    return {piece.value for piece in value.pieces} | {value.otherwise} if isinstance(value, Schedule) else {value}


def element(port: str, n: int, unread: Container[str]) -> bool:
    """Whether an element of a port is read."""
    return port not in unread and f"{port}[{n}]" not in unread


def _registered(name: str, module: str) -> NodeType:
    """A node type in another process, by name."""
    if name not in _TYPES:
        importlib.import_module(module)
    return node_type(name)


def node(
    name: str,
    *,
    version: int = 1,
    stored: bool | None = None,
    unused: Callable[[dict[str, Any]], set[str]] | None = None,
    abstract: Callable[..., Any] | None = None,
    passes: bool = False,
    added: Sequence[str] = (),
    cautions: Callable[..., list[UserError]] | None = None,
) -> Callable[[C], C]:
    """Register a function, Loop or Reduce class as a node type.

    ``stored`` defaults to True for nodes that use a model; loops and reductions are always stored. ``passes``: the node
    returns one element of its only port, a list, unchanged, the one that its parameter ``index`` numbers; its result is
    that element's, keys included. ``added`` are parameters that came after results of this version were stored and
    compute at their default what was computed before: at it they are in no key. ``cautions`` takes the arguments of a
    batch with all points of a graph, for nodes that have parameters and models and no other ports, and returns what
    ``check`` warns of. Raises TypeError where the signature breaks the contract or the name is taken by other code.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*", name):
        raise TypeError(f"'{name}' is no name for a node type: lower case words with dots")

    def register(code: C) -> C:
        found = made(name, code, version, stored, unused, abstract, passes, tuple(added), cautions)
        other = _TYPES.get(name)
        same = other and (other.code.__module__, other.code.__qualname__) == (code.__module__, code.__qualname__)
        if other and not same and not other.code.__module__.startswith("flowgen_file_"):
            raise TypeError(f"the node type '{name}' is registered by {other.code.__module__} already")
        _TYPES[name] = found
        return code

    return register


def made(
    name: str,
    code: Any,
    version: int = 1,
    stored: bool | None = None,
    unused: Callable[[dict[str, Any]], set[str]] | None = None,
    abstract: Callable[..., Any] | None = None,
    passes: bool = False,
    added: tuple[str, ...] = (),
    cautions: Callable[..., list[UserError]] | None = None,
) -> NodeType:
    """A node type of some code, not registered. Raises TypeError where the signature breaks the contract."""
    kind: Kind = "function"
    if isinstance(code, type):
        if not issubclass(code, (Loop, Reduce)):
            raise TypeError(f"the class {code.__qualname__} is neither a Loop nor a Reduce of flowgen.node")
        kind = "loop" if issubclass(code, Loop) else "reduce"
    found = NodeType(name, code, kind, version, signature_of(code), False, unused, abstract, passes, added, cautions)
    if stored is False and kind != "function":
        raise TypeError(f"the results of {code.__qualname__} are always stored: it is no function")
    if unknown := [param for param in added if found.signature.params.get(param) is None]:
        raise TypeError(f"{code.__qualname__} has no parameter '{unknown[0]}'")
    if cautions and any(not issubclass(port.type, Reference) for port in found.signature.ports.values()):
        raise TypeError(f"{code.__qualname__} has ports that tensors feed, so it can't warn of all points")
    return replace(found, stored=(found.uses_model or kind != "function") if stored is None else stored)


def registered(code: Any) -> NodeType | None:
    """The type that code was registered as."""
    return next((found for found in _TYPES.values() if found.code is code), None)


def scheme(name: str, graphs: Callable[[], Sequence[str]] = tuple) -> Callable[[C], C]:
    """Register how sources that start with ``name:`` are found; the function takes the rest and returns a path.

    ``graphs`` returns the rests that are graphs, to be used as nodes.
    """

    def register(function: C) -> C:
        _SCHEMES[name] = function, graphs
        return function

    return register


def load_packs() -> None:
    """Import every installed node pack, once."""
    global _loaded
    if not _loaded:
        _loaded = True
        for entry in importlib.metadata.entry_points(group="flowgen.nodes"):
            entry.load()


def node_type(name: str) -> NodeType:
    """A node type by name. Raises UserError with the nearest name."""
    load_packs()
    if name not in _TYPES:
        raise UserError(f"no node type '{name}'", hint=nearest(name))
    return _TYPES[name]


def nearest(name: str) -> str:
    """A hint for a name that no type has: types and graphs of the same last word, of nearly the same name, or with the
    name in theirs.
    """
    every, last = [*_TYPES, *shipped_graphs()], last_word(name)
    if any(other.startswith(f"{name}.") for other in _TYPES):
        return f"'flowgen nodes {name}' lists those of this kind"
    meant = [other for other in every if last_word(other) == last]
    if not meant and (hint := did_you_mean(name, every)).startswith("did"):
        return f"{hint} ('flowgen nodes' lists them)"
    meant = meant or sorted((other for other in every if last and last in other), key=len)
    said = " or ".join(f"'{other}'" for other in meant[:FEW])
    return f"did you mean {said}? ('flowgen nodes' lists them)" if meant else "'flowgen nodes' lists them"


def last_word(name: str) -> str:
    """``ddim`` of ``scheduler.ddim``."""
    return re.split("[.:]", name)[-1]


def node_types() -> dict[str, NodeType]:
    """All registered node types by name."""
    load_packs()
    return dict(sorted(_TYPES.items()))


def shipped_graphs() -> list[str]:
    """The graphs that packs ship, by the names that they are used by as nodes."""
    load_packs()
    return [f"{prefix}:{rest}" for prefix, (_, graphs) in sorted(_SCHEMES.items()) for rest in graphs()]


def find_source(text: str, folder: Path, kind: type[Source] = Source) -> Source:
    """A parameter's file or folder; paths are relative to the graph's folder.

    Raises UserError where there is none, unless it is of a kind that takes names too.
    """
    load_packs()
    prefix, _, rest = text.partition(":")
    if rest and prefix in _SCHEMES:
        return kind(text, _SCHEMES[prefix][0](rest))
    if "://" in text:
        raise UserError(f"'{text}' is an address, and flowgen reads files", hint="download it and give its path")
    path = real(folder / text)
    if not path.exists() and not issubclass(kind, Named):
        raise UserError(f"there is no file or folder '{text}'", hint=f"looked at {path}")
    if path.exists() and not path.is_file() and not path.is_dir():  # a device or a pipe may never end
        raise UserError(f"'{text}' is neither a file nor a folder", hint=f"looked at {path}")
    return kind(text, path)
