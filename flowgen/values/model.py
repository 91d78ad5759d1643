"""Models as bundles of parts: a value that names weights without holding them."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import hashlib
import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch

from flowgen.errors import UserError, WiringError, did_you_mean


class Reference:
    """Base of values that are known when planning and hold no tensors."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a model: a network, a tokeniser, a configuration."""

    name: str
    """unet, vae, text_encoder, ..."""
    loader: str
    """``module:name`` of a Loader, which builds the part from its configuration or loads its weights"""
    folder: str
    """where the files are; no part of its identity"""
    config: str
    """canonical JSON of what determines its shape"""
    files: tuple[str, ...] = ()
    """files whose content belongs to its identity, relative to the folder"""
    dtype: str = "float32"
    of: tuple[Part, ...] = ()
    """parts that it is made of: a network and the low-rank updates that are added to it"""
    numerics: str = ""
    """what else decides how it rounds, as canonical JSON; the loader knows what it means"""
    device: str = ""
    """where it runs, if not where the task does; no part of its identity"""
    offload: bool = False
    """whether it stays in main memory and is moved to its device only while used; no part of its identity"""
    away: tuple[tuple[str, str], ...] = ()
    """files that may not be here yet, with the sha256 that they will have; the loader fetches them"""
    lacking: tuple[str, str] = ("", "")
    """what isn't here of its content, and the way out: such a part can be checked, and has no identity"""

    def digest(self, file_digest: Callable[[Path], str]) -> str:
        """Identity by content: loader, configuration, dtype, each file's digest and those of what it is made of.

        Raises UserError for a part that lacks its content.
        """
        if self.lacking[0]:
            raise UserError(self.lacking[0], hint=self.lacking[1])
        contents = [[name, self.content(name, file_digest)] for name in self.files]
        said: list[Any] = [self.loader, self.config, self.dtype, contents]
        if self.of or self.numerics:
            said += [self.numerics, [part.digest(file_digest) for part in self.of]]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def content(self, name: str, file_digest: Callable[[Path], str]) -> str:
        """The sha256 of one of its files; the promised one while the file is away."""
        path = Path(self.folder) / name
        promised = dict(self.away).get(name)
        return promised if promised and not path.exists() else file_digest(path)

    def whole(self) -> Iterator[Part]:
        """The part and all that it is made of."""
        yield self
        for part in self.of:
            yield from part.whole()


class Loader:
    """How parts of one kind come to life; packs subclass it."""

    libraries: ClassVar[tuple[str, ...]] = ()
    """distributions whose version decides the last bits of results"""

    def build(self, part: Part) -> Any:
        """The part from its configuration alone, without weights; called under FakeTensorMode."""
        return self.load(part, "cpu")

    def load(self, part: Part, device: str) -> Any:
        """The part with its weights, on a device, ready for inference."""
        raise NotImplementedError  # pragma: no cover

    def fetch(self, part: Part) -> None:
        """Bring the files that are away to the part's folder. Raises UserError."""


class NoRoom(UserError):
    """A part's weights don't fit into memory, however few items are computed."""


def no_room(part: Part, device: str, size: int) -> NoRoom:
    """What to say of a part of so many bytes (0: nobody knows) that didn't fit on a device."""
    takes = f", {size / 2**30:.3g} GiB," if size else ""
    return NoRoom(
        f"the weights of '{part.name}'{takes} don't fit into the memory of {device}",
        hint="dtype: bfloat16 halves those in float32; offload: model keeps networks in main memory until used",
    )


def size_of(module: Any) -> int:
    """Bytes of a network's weights; other parts count nothing."""
    if not isinstance(module, torch.nn.Module):
        return 0
    return sum(weight.nbytes for weight in [*module.parameters(), *module.buffers()])


def loader_of(part: Part) -> Loader:
    """The Loader that a part names. Raises TypeError if it is none."""
    module, _, name = part.loader.partition(":")
    found = getattr(importlib.import_module(module), name)()
    if not isinstance(found, Loader):
        raise TypeError(f"{part.loader} is no Loader")
    return found


Opener = Callable[[Part], Any]
_opener: contextvars.ContextVar[Opener | None] = contextvars.ContextVar("opener", default=None)


@contextlib.contextmanager
def opening(opener: Opener) -> Iterator[None]:
    """While this holds, ``model[part]`` goes through ``opener``."""
    token = _opener.set(opener)
    try:
        yield
    finally:
        _opener.reset(token)


_pickles: contextvars.ContextVar[bool] = contextvars.ContextVar("pickles", default=False)


@contextlib.contextmanager
def allowing_pickles(allowed: bool) -> Iterator[None]:
    """While this holds, models may have weights in pickles: only a user says so, never a graph."""
    token = _pickles.set(allowed)
    try:
        yield
    finally:
        _pickles.reset(token)


def pickles_allowed() -> bool:
    """Whether the user allows weights in pickles."""
    return _pickles.get()


@dataclass(frozen=True)
class Model(Reference):
    """A bundle of parts. ``model["unet"]`` is the loaded part (in a check: built from its configuration)."""

    parts: Mapping[str, Part] = field(default_factory=dict)
    label: str = ""
    """what messages call it: the text after ``from:``"""
    origin: str = ""
    """where exactly it came from, for a run's provenance: ``org/name@commit``; empty for files of the user's own"""
    absent: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """by part that isn't there, what to say where it is asked for, and the way out; for others it's said anyway"""

    def __getitem__(self, name: str) -> Any:
        opener = _opener.get()
        if opener is None:
            raise RuntimeError("a model's parts can be opened only while a node runs")
        return opener(self.part(name))

    def part(self, name: str) -> Part:
        """A part by name. Raises WiringError if the model lacks it."""
        if name in self.absent:
            raise WiringError(self.absent[name][0], hint=self.absent[name][1])
        if name not in self.parts:
            raise WiringError(f"the model '{self.label}' has no part '{name}'", hint=did_you_mean(name, self.parts))
        return self.parts[name]

    def used(self, names: Sequence[str]) -> list[Part]:
        """The parts of these names; ``NAME?`` is left out where the model lacks it. Raises WiringError for others."""
        wanted = [name for name in names if not name.endswith("?") or name[:-1] in self.parts]
        return [self.part(name.removesuffix("?")) for name in wanted]

    def config(self, name: str) -> dict[str, Any]:
        """A part's configuration, which is shared: not to be changed."""
        return parsed(self.part(name).config)


@functools.lru_cache(maxsize=256)
def parsed(config: str) -> dict[str, Any]:
    """A configuration from its JSON."""
    found: dict[str, Any] = json.loads(config)
    return found


def canonical(config: Mapping[str, Any]) -> str:
    """A configuration as canonical JSON; entries that start with ``_`` (versions, names) don't count."""
    return json.dumps({k: v for k, v in config.items() if not k.startswith("_")}, sort_keys=True)
