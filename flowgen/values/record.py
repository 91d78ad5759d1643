"""Records of tensors, item axis first: what ports carry and what loops keep as state."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from flowgen.errors import WiringError, with_article

REGISTRY: dict[str, type[Record]] = {}
"""Record classes by name, for reading them back from the store."""


class Record:
    """Base of frozen dataclasses (no slots, no ``__post_init__``) of tensors [B, ...], other records, and metadata.

    Metadata (texts, numbers, tuples) is the same for every item; records of unequal metadata or shape never share a
    batch.
    """

    dims: ClassVar[dict[str, tuple[str, ...]]] = {}
    """by tensor, the names of its dimensions after the item axis, for labelled results"""
    storable: ClassVar[bool] = True
    """whether the store can hold it: whether its metadata are texts, numbers and tuples"""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        REGISTRY[cls.__name__] = cls

    @classmethod
    def dimensions(cls, name: str, rank: int) -> tuple[str, ...]:
        """Names of the ``rank`` dimensions of a tensor after the item axis; empty where it has none for so many."""
        known = cls.dims.get(name, ())
        return known if len(known) == rank else ()

    @classmethod
    def names(cls) -> Sequence[str]:
        """Its fields."""
        return [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by dotted field name, nested records included."""
        found: dict[str, Tensor] = {}
        for name, value in self._fields():
            if isinstance(value, Tensor):
                found[name] = value
            elif isinstance(value, Record):
                found |= {f"{name}.{inner}": tensor for inner, tensor in value.tensors().items()}
        return found

    def metadata(self) -> dict[str, Any]:
        """Everything that is no tensor, by field name; nested records as ``{"record": name, ...}``."""
        found: dict[str, Any] = {}
        for name, value in self._fields():
            if isinstance(value, Record):
                found[name] = {"record": type(value).__name__, **value.metadata()}
            elif not isinstance(value, Tensor):
                found[name] = value
        return found

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed. Raises TypeError for a field that there isn't."""
        if unknown := changes.keys() - self.__dict__.keys():
            raise TypeError(f"{type(self).__name__} has no field '{min(unknown)}'")
        return self._changed(changes)

    def _changed(self, changes: Mapping[str, Any]) -> Self:
        made = object.__new__(type(self))  # dataclasses.replace takes longer than many a node
        made.__dict__.update(self.__dict__)
        made.__dict__.update(changes)
        return made

    def map(self, function: Any) -> Self:
        """A copy with ``function`` applied to each tensor."""
        changes: dict[str, Any] = {}
        for name, value in self._fields():
            if isinstance(value, Tensor):
                changes[name] = function(value)
            elif isinstance(value, Record):
                changes[name] = value.map(function)
        return self._changed(changes)

    def take(self, rows: Sequence[int] | Tensor) -> Self:
        """The items at these rows, in this order."""
        index = torch.as_tensor(rows, dtype=torch.long)
        changes: dict[str, Any] = {}
        for name, value in self._fields():
            if isinstance(value, Tensor):
                changes[name] = value.index_select(0, index.to(value.device))
            elif isinstance(value, Record):
                changes[name] = value.take(rows)
        return self._changed(changes)

    def split(self, sizes: Sequence[int], known: Mapping[int, Sequence[Record]] | None = None) -> list[Self]:
        """The items in consecutive pieces of these sizes, as views.

        ``known``: by identity of a nested record, the pieces that it was put together of.
        """
        pieces: list[dict[str, Any]] = [{} for _ in sizes]
        for name, value in self._fields():
            if isinstance(value, (Tensor, Record)):
                parts: Sequence[Any] | None = known.get(id(value)) if known else None
                if parts is None:
                    parts = value.split_with_sizes(sizes) if isinstance(value, Tensor) else value.split(sizes)
                for piece, own in zip(pieces, parts, strict=True):
                    piece[name] = own
        return [self._changed(piece) for piece in pieces]

    def to(self, device: torch.device | str) -> Self:
        """A copy on a device."""
        return self.map(lambda tensor: tensor.to(device))

    def fits(self, other: Record) -> bool:
        """Whether the two can be one batch: whether their signatures are equal."""
        if type(self) is not type(other):
            return False
        for (_, mine), (_, theirs) in zip(self._fields(), other._fields(), strict=True):
            if isinstance(mine, Tensor):
                if not isinstance(theirs, Tensor) or mine.shape[1:] != theirs.shape[1:] or mine.dtype != theirs.dtype:
                    return False
            elif isinstance(mine, Record):
                if not isinstance(theirs, Record) or not mine.fits(theirs):
                    return False
            elif mine != theirs:
                return False
        return True

    def signature(self) -> tuple[Any, ...]:
        """What two records must share to be one batch: class, metadata, shapes and dtypes of an item."""
        shapes = tuple((name, tuple(t.shape[1:]), str(t.dtype)) for name, t in self.tensors().items())
        return type(self).__name__, repr(self.metadata()), shapes

    @classmethod
    def concat(cls, records: Sequence[Self]) -> Self:
        """One batch of several. Raises WiringError where shapes or metadata differ: nothing is padded."""
        first = records[0]
        if len(records) == 1:
            return first
        for other in records:
            if other is not first and not first.fits(other):
                raise WiringError(f"{cls.__name__} of unequal shape or metadata can't share a batch")
        changes: dict[str, Any] = {}
        for name, value in first._fields():
            if isinstance(value, Tensor):
                changes[name] = torch.cat([getattr(r, name) for r in records])
            elif isinstance(value, Record):
                changes[name] = type(value).concat([getattr(r, name) for r in records])
        return first._changed(changes)

    def __len__(self) -> int:
        for _, value in self._fields():
            if isinstance(value, Tensor):
                return value.shape[0]
            if isinstance(value, Record):
                return len(value)
        raise ValueError(f"{with_article(type(self).__name__)} without tensors has no items")

    def _fields(self) -> Iterable[tuple[str, Any]]:
        found: dict[str, Any] = self.__dict__
        return found.items()


def rebuild(name: str, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> Record:
    """A record from its class name, dotted tensors and metadata. Raises KeyError for an unknown class."""
    cls = REGISTRY[name]
    fields: dict[str, Any] = {}
    for field in cls.names():
        if field in tensors:
            fields[field] = tensors[field]
        elif isinstance(inner := metadata.get(field), dict) and "record" in inner:
            prefix = field + "."
            nested = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            fields[field] = rebuild(inner["record"], nested, {k: v for k, v in inner.items() if k != "record"})
        elif field in metadata:
            fields[field] = frozen(metadata[field])
    return cls(**fields)


def frozen(value: Any) -> Any:
    """Lists, as JSON gives them, back to tuples."""
    return tuple(map(frozen, value)) if isinstance(value, list) else value
