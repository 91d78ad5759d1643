"""Models as bundles of parts: a value that names weights without holding them."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from flowgen.errors import WiringError, did_you_mean


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

    def digest(self, file_digest: Callable[[Path], str]) -> str:
        """Identity by content: loader, configuration, dtype and each file's digest."""
        contents = [[name, file_digest(Path(self.folder) / name)] for name in self.files]
        said = json.dumps([self.loader, self.config, self.dtype, contents])
        return hashlib.sha256(said.encode()).hexdigest()

    def bytes_on_disk(self) -> int:
        """Size of its files."""
        return sum((Path(self.folder) / name).stat().st_size for name in self.files)


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


@dataclass(frozen=True)
class Model(Reference):
    """A bundle of parts. ``model["unet"]`` is the loaded part (in a check: built from its configuration)."""

    parts: Mapping[str, Part] = field(default_factory=dict)
    label: str = ""
    """what messages call it: the text after ``from:``"""

    def __getitem__(self, name: str) -> Any:
        opener = _opener.get()
        if opener is None:
            raise RuntimeError("a model's parts can be opened only while a node runs")
        return opener(self.part(name))

    def part(self, name: str) -> Part:
        """A part by name. Raises WiringError if the model lacks it."""
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
