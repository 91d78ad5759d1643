"""The three kinds of node: functions, loops, reductions; and the words their signatures use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, TypeVar

import torch
from pydantic_core import core_schema
from torch import Tensor

from flowgen.values.per_item import PerItem
from flowgen.values.record import Record

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Uses:
    """The parts of a model that a port reads; only their digests enter the key.

    ``Annotated[Model, Uses("unet", "scheduler", "text_encoder_2?")]`` on a port; a model may lack a part with ``?``.
    """

    parts: tuple[str, ...]

    def __init__(self, *parts: str) -> None:
        object.__setattr__(self, "parts", parts)


@dataclass(frozen=True, slots=True)
class _Mark:
    """What ``Feedback[...]`` and ``Stream[...]`` leave in an annotation."""

    name: str


FEEDBACK, STREAM = _Mark("feedback"), _Mark("stream")

if TYPE_CHECKING:
    Feedback = Annotated[T, FEEDBACK]
    Stream = Annotated[T, STREAM]
else:

    class Feedback:
        """A port that closes a loop: its value comes from the loop's body, one per step."""

        def __class_getitem__(cls, item: Any) -> Any:
            return Annotated[item, FEEDBACK]

    class Stream:
        """A port of a reduction: its items are pooled."""

        def __class_getitem__(cls, item: Any) -> Any:
            return Annotated[item, STREAM]


@dataclass(frozen=True, slots=True)
class Source:
    """A file or folder that a parameter names; its content, not its path, enters the key."""

    text: str
    """as the user wrote it"""
    path: Path

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        """Validated from a text by the ``find`` of the context, wherever in a parameter it stands."""

        def found(text: str, info: core_schema.ValidationInfo) -> Source:
            source: Source = info.context["find"](text, cls) if info.context else cls(text, Path(text))
            return source

        return core_schema.with_info_after_validator_function(found, core_schema.str_schema(strict=True))


class Named(Source):
    """A file or folder, or else a name that the node's code looks up: then there is nothing at ``path``."""

    __slots__ = ()


class Carry(Generic[T]):
    """State that a function in a loop's body keeps from step to step.

    The function returns ``(output, new)`` with ``new`` a tensor [B, ...]; the engine stores it beside the loop's
    state. ``or_zeros(like)`` is the last step's tensor, zeros at an item's first step.
    """

    def __init__(self, value: Tensor | None = None) -> None:
        self.value = value

    def or_zeros(self, like: Tensor) -> Tensor:
        """The carried tensor, or zeros in the shape of ``like``."""
        return torch.zeros_like(like) if self.value is None else self.value


@dataclass(frozen=True, slots=True)
class Phase:
    """One evaluation of the body within a step: what the loop shows, and which feedback it then takes."""

    name: str
    """empty for the first; methods of the others are called ``emit_NAME`` and ``advance_NAME``"""
    emits: tuple[str, ...]
    takes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stretch:
    """The part of its way that an item of a loop takes."""

    first: int
    """where on the whole way it begins; 0 is the beginning"""
    steps: int
    """how many it takes"""
    whole: int
    """how many it would take if it went on to the end"""


class Loop:
    """A node that runs the cycle it closes, step by step.

    A subclass names its ports and parameters as annotated attributes. The engine sets them, for the items of a batch,
    before it calls a method. ``i`` is the step of each item: items of a batch may be at different steps.
    """

    phases: ClassVar[tuple[Phase, ...]] = ()
    """in order; one phase with every per-step output and feedback port if empty. Of the last ones, those of which no
    port is wired aren't run"""
    cuts: ClassVar[tuple[str, ...]] = ()
    """parameters that only say which stretch is taken: keys hold the stretch in their place"""

    def length(self) -> list[int]:
        """Steps of each item; reads parameters and models alone, no other port."""
        raise NotImplementedError  # pragma: no cover

    def stretch(self) -> list[Stretch]:
        """What ``length`` says in full, for loops that can begin late or end early; reads no more than it.

        States of loops that begin at one place and differ in where they end are the same.
        """
        return [Stretch(0, steps, steps) for steps in self.length()]

    def continues(self, port: str, other: Loop, wired: frozenset[str]) -> None:
        """Raise WiringError where this loop can't take up at ``port`` what ``other`` ends with.

        A check asks it at every point of a loop whose port another loop feeds; like ``length`` it reads parameters and
        models alone, of both. ``wired``: the ports that are wired.
        """

    def begin(self) -> Any:
        """The state before the first step, a Record."""
        raise NotImplementedError  # pragma: no cover

    def emit(self, state: Any, i: PerItem[int]) -> Any:
        """The per-step outputs: one value, called ``x``, or a NamedTuple."""
        raise NotImplementedError  # pragma: no cover

    def finish(self, state: Any) -> Any:
        """The results: one value, called ``sample``, or a NamedTuple whose first is the main output."""
        raise NotImplementedError  # pragma: no cover

    if TYPE_CHECKING:
        # takes (state, i, one argument per feedback port), so its signature differs from loop to loop
        advance: Callable[..., Any]


class Reduce:
    """A mergeable statistic over axes. The state is a Record of one item.

    A subclass annotates its pooled port as ``Stream[T]``; other ports and parameters are attributes, set before
    ``finish`` is called.
    """

    def add(self, batch: Any) -> Record:
        """The statistic of some items."""
        raise NotImplementedError  # pragma: no cover

    def merge(self, first: Any, second: Any) -> Record:
        """The statistic of two disjoint sets."""
        raise NotImplementedError  # pragma: no cover

    def finish(self, state: Any) -> Any:
        """The result, a value of one item."""
        raise NotImplementedError  # pragma: no cover

    def least(self, state: Any) -> int:
        """How many independent items a result that means something takes; reads shapes alone. Fewer are a warning."""
        return 1
