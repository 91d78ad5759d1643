"""How a function's code is called on a batch: padded in strict numerics, counted, halved when memory runs out and no
other weights can go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from flowgen.errors import UserError
from flowgen.execute.limits import Limits, ran_out
from flowgen.execute.stopping import Stop
from flowgen.execute.strides import Strides
from flowgen.node import NodeType
from flowgen.node.call import call, call_with_carry
from flowgen.plan.numerics import Numerics
from flowgen.values import PerItem, Record
from flowgen.values.model import Model, NoRoom, Part


@dataclass(slots=True)
class Call:
    """A function and the arguments of a batch."""

    type: NodeType
    arguments: dict[str, Any]
    """of ports (records, lists of records, models, None) and parameters (PerItem and static)"""
    count: int
    """items"""
    carried: dict[str, Tensor | None] = field(default_factory=dict)

    @property
    def has_items(self) -> bool:
        """Whether its arguments have rows; a file's content, for example, has none: its one row stands for all."""
        return any(isinstance(value, PerItem) or records(value) for value in self.arguments.values())

    def parts(self) -> set[Part]:
        """The parts of models that its code may open."""
        found: set[Part] = set()
        for name, port in self.type.signature.ports.items():
            value = self.arguments.get(name)
            for model in value if isinstance(value, list) else [value]:
                if isinstance(model, Model):
                    found.update(model.used(port.parts or tuple(model.parts)))
        return found

    def take(self, rows: Sequence[int]) -> Call:
        """The same call for some of the items."""

        def chosen(value: Any) -> Any:
            if isinstance(value, (Record, PerItem)):
                return value.take(rows)
            return [chosen(v) for v in value] if isinstance(value, list) else value

        index = torch.as_tensor(rows, dtype=torch.long)
        carried = {k: None if v is None else v.index_select(0, index.to(v.device)) for k, v in self.carried.items()}
        return Call(self.type, {k: chosen(v) for k, v in self.arguments.items()}, len(rows), carried)


MakeRoom = Callable[[Collection[Part], bool], bool]
"""lets all weights go but those of some parts, of parts that came back too or not; whether any went"""
Result = tuple[dict[str, Record], dict[str, Tensor]]


class Caller:
    """Runs calls. One for each task."""

    def __init__(
        self, numerics: Numerics, limits: Limits | None = None, make_room: MakeRoom = lambda used, again: False
    ) -> None:
        self.numerics = numerics
        self.strict = numerics.strict
        self.limits = limits or Limits()
        self.make_room = make_room
        self.stop = Stop()
        """whether the task should end"""
        self.strides = Strides()
        """how far it is"""
        self.calls: Counter[str] = Counter()
        """how often the code of each node type that uses a model was run"""
        self.rows: Counter[str] = Counter()
        """items in those calls"""

    def run(self, made: Call, most: int | None = None, last: bool = False) -> Result:
        """The outputs by name, and what is carried to the next step. ``most``: items of one run of the code; ``last``:
        whether all that it doesn't use went before.

        Where memory runs out, weights that it doesn't use go first. Raises UserError where that doesn't suffice.
        """
        name, most = made.type.name, min(made.count, most or made.count)
        strict = self.strict and made.type.uses_model and made.has_items
        if not strict and self.limits.concerns(name):
            most = self.limits.most(name, fits(made), most)
        try:
            if strict:
                return self.padded(made)
            if most < made.count:
                return joined([self.once(made.take(rows)) for rows in chunks(made.count, most)])
            return self.once(made)
        except Exception as error:
            if not isinstance(error, NoRoom) and not ran_out(error):
                raise
            hopeless = final(error, name, most, self.numerics.pad if strict else 0)
        # outside of the handler, which keeps what the code had made by then
        if self.make_room(made.parts(), hopeless is not None and not last):
            return self.run(made, most, last or hopeless is not None)
        if hopeless:
            raise hopeless
        self.limits.lower(name, fits(made), most)
        torch.cuda.empty_cache()
        return self.run(made, most)

    def padded(self, made: Call) -> Result:
        """In pieces of exactly the padded size: kernels then sum in one order, whatever the neighbours."""
        size, results = self.numerics.pad, []
        for rows in chunks(made.count, size):
            filled = [*rows, *[rows[0]] * (size - len(rows))]
            outputs, carried = self.once(made.take(filled))
            kept = range(len(rows))
            results.append(
                ({k: v.take(kept) for k, v in outputs.items()}, {k: v[: len(rows)] for k, v in carried.items()})
            )
        return joined(results)

    def once(self, made: Call) -> Result:
        """One run of the code."""
        if made.type.uses_model:
            self.calls[made.type.name] += 1
            self.rows[made.type.name] += made.count
        if made.type.signature.carries:
            found, carried = call_with_carry(made.type, made.arguments, made.carried)
        else:
            found, carried = call(made.type, made.arguments), {}
        for name, value in found.items():
            if len(value) != made.count:
                raise UserError(f"'{made.type.name}' gave {len(value)} rows of '{name}' for {made.count} items")
        return found, carried


def final(error: Exception, name: str, most: int, size: int) -> UserError | None:
    """What to say where memory ran out and fewer items would not help; None where they may.

    ``size`` is that of strict numerics, which is part of every key and isn't halved; 0 in fast ones.
    """
    if isinstance(error, NoRoom):
        return error.with_traceback(None)
    if size:
        message = f"'{name}' needs more memory than there is for {size} items at once, the size of strict numerics"
        hint = "a smaller --batch fits, and is another size: its results have keys of their own"
        return UserError(message, hint=hint)
    return UserError(f"'{name}' needs more memory than there is, for a single item") if most == 1 else None


def records(value: Any) -> bool:
    """Whether a port's value holds records."""
    return isinstance(value, Record) or (isinstance(value, list) and any(map(records, value)))


def chunks(count: int, size: int) -> list[list[int]]:
    """0..count-1 in pieces of at most ``size``."""
    return [list(range(start, min(start + size, count))) for start in range(0, count, size)]


def joined(results: list[Result]) -> Result:
    """Results of consecutive pieces as one."""
    if len(results) == 1:
        return results[0]
    outputs = {k: type(v).concat([r[0][k] for r in results]) for k, v in results[0][0].items()}
    carried = {k: torch.cat([r[1][k] for r in results]) for k in results[0][1]}
    return outputs, carried


def together(values: list[Any]) -> Any:
    """An argument of several calls, which fit, as that of one larger batch."""
    if len(values) == 1:
        return values[0]
    if isinstance(values[0], Record):
        return type(values[0]).concat(values)
    if isinstance(values[0], PerItem):
        return PerItem([v for value in values for v in value.values])
    if isinstance(values[0], list):
        return [together(list(entries)) for entries in zip(*values, strict=True)]
    return values[0]


def fit(one: Any, other: Any) -> bool:
    """Whether an argument of two calls can be that of one larger batch, by ``together``."""
    if isinstance(one, Record):
        return isinstance(other, Record) and one.fits(other)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(fit, one, other))
    return type(one) is type(other) and (isinstance(one, PerItem) or one is other or bool(one == other))


def fits(made: Call) -> tuple[Any, ...]:
    """What decides the memory of a call's items: type, models, static parameters, shapes."""

    def shape(value: Any) -> Any:
        if isinstance(value, Record):
            return value.signature()
        if isinstance(value, PerItem):
            return ()
        return tuple(shape(v) for v in value) if isinstance(value, list) else repr(value)

    return made.type.name, tuple((k, shape(v)) for k, v in sorted(made.arguments.items()))
