"""Items that fail: found among their neighbours, recorded with their cause, and passed on to what needs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

import torch

from flowgen.errors import UserError, exit_text
from flowgen.execute.fitness import Unfit
from flowgen.execute.pool import StaleWeights
from flowgen.plan.program import Parcel, Program
from flowgen.store import Lost, Unwritable
from flowgen.store.keys import pooled
from flowgen.store.zarr_format import unstorable
from flowgen.values import Record

Results = list[tuple[list[str], dict[str, Record]]]
"""items by key, with the node's outputs"""
GO_ON = "; write 'missing: skip' on this node to pool those that are left"


class DeviceBroken(Exception):
    """A kernel failed in a way that leaves the device unusable for this process: all that follows would fail too."""

    def __str__(self) -> str:
        return f"the device failed and can't be used by this process any more: {self.args[0]}"

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return DeviceBroken, self.args


def select(parcel: Parcel, rows: list[int]) -> Parcel:
    """Some items of a parcel."""

    def chosen(column: list[Any]) -> list[Any]:
        return [column[n] for n in rows]

    return Parcel(
        stage=parcel.stage,
        number=parcel.number,
        keys=chosen(parcel.keys),
        statics=parcel.statics,
        per_item={node: {k: chosen(v) for k, v in params.items()} for node, params in parcel.per_item.items()},
        inputs={node: chosen(keys) for node, keys in parcel.inputs.items()},
        shared={node: chosen(keys) for node, keys in parcel.shared.items()},
        unused={node: chosen(ports) for node, ports in parcel.unused.items()},
        pooled=chosen(parcel.pooled) if parcel.pooled else [],
        share=share_of(parcel.share, rows) if parcel.share else [],
        saves=chosen(parcel.saves) if parcel.saves else [],
        resume=chosen(parcel.resume) if parcel.resume else [],
        batch=parcel.batch,
        files=parcel.files,
    )


def share_of(share: list[int], rows: list[int]) -> list[int]:
    """The steps that each of some items (ascending) shares with the one before it that is left."""
    return [min(share[last + 1 : row + 1]) for last, row in zip([-1, *rows], rows, strict=False)]


def less_failed(
    code: Program, parcel: Parcel, gone: set[str], others: Mapping[str, str]
) -> tuple[Parcel, dict[str, str], dict[str, str]]:
    """A parcel less the items whose parents failed; these items with their cause; those that changed by new key.

    ``others`` are reductions that skipped failed items: the key of what was pooled, by the key that was planned. What
    reads one is another item than was planned, and has another key.
    """
    if not gone and not others:
        return parcel, {}, {}
    failed: dict[str, str] = {}
    renamed: dict[str, str] = {}
    parcel = select(parcel, list(range(len(parcel))))  # its own lists, to be changed
    loop = code.steps[code.stage].type.kind == "loop"
    for n, key in enumerate(list(parcel.keys)):
        instead: list[str] = []
        for node, keys in parcel.inputs.items():
            if keys[n] in gone:
                failed[key] = f"it needs '{node}', which failed"
            elif (other := others.get(keys[n] or "")) and loop:  # its states have keys too
                failed[key] = f"it needs '{node}', which skipped items that failed"
            elif other:
                keys[n] = other
                instead.append(other)
        if parcel.pooled:
            planned = parcel.pooled[n]
            left = [others.get(k, k) for k in planned if k not in gone]
            if len(left) < len(planned) and not (left and code.skips_missing):
                lacking = len(planned) - len(left)
                failed[key] = f"{lacking} of the {len(planned)} items that it pools failed" + (GO_ON if left else "")
            elif left != planned:
                parcel.pooled[n] = left
                instead += left
        if instead and key not in failed:
            renamed[key] = parcel.keys[n] = pooled([key, *instead])
    left_over = [n for n, key in enumerate(parcel.keys) if key not in failed]
    return select(parcel, left_over), failed, renamed


def isolated(
    compute: Callable[[Parcel], list[tuple[list[int], dict[str, Record]]]], parcel: Parcel
) -> tuple[Results, dict[str, str]]:
    """Results of the items that can be computed, causes of the others: a part that fails is halved until it's clear.

    What no item can be blamed for is raised: lost blocks, a store that is away or full, other weights, a device that is
    broken or smaller than others'.
    """
    results: Results = []
    causes: dict[str, str] = {}
    parts = [parcel]
    while parts:
        part = parts.pop()
        try:
            found = compute(part)
        except (Lost, StaleWeights, Unwritable, Unfit):
            raise
        except torch.AcceleratorError as error:
            raise DeviceBroken(str(error).strip().partition("\n")[0]) from None
        except (Exception, SystemExit) as error:
            if len(part) == 1:
                causes[part.keys[0]] = cause_of(error)
                continue
            middle = len(part) // 2
            parts += [select(part, list(range(middle, len(part)))), select(part, list(range(middle)))]
        else:
            results += [([part.keys[n] for n in items], outputs) for items, outputs in found]
    return results, causes


def cause_of(error: Exception | SystemExit) -> str:
    """An exception in a line or two."""
    if isinstance(error, SystemExit):
        return f"the node called {exit_text(error)}"
    if isinstance(error, UserError):
        return str(error)
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0]}" if said else type(error).__name__


def sound(results: Results, failed: dict[str, str]) -> Results:
    """The results less items that hold NaN, infinity or what can't be stored, which are noted as failed."""
    kept: Results = []
    for keys, outputs in results:
        if said := unstorable(outputs):
            failed.update(dict.fromkeys(keys, said))
            continue
        bad: set[int] = set()
        for output, value in outputs.items():
            for name, tensor in value.tensors().items():
                # one that isn't finite shows in the sum, which one pass finds; a sum may also be too large
                if tensor.is_floating_point() and not isfinite(tensor.sum().item()):
                    rows = torch.isfinite(tensor).flatten(1).all(1) if tensor.dim() > 1 else torch.isfinite(tensor)
                    for n in torch.nonzero(~rows).flatten().tolist():
                        bad.add(n)
                        failed[keys[n]] = f"'{output}.{name}' holds NaN or infinity"
        good = [n for n in range(len(keys)) if n not in bad]
        if len(good) == len(keys):
            kept.append((keys, outputs))
        elif good:
            kept.append(([keys[n] for n in good], {k: v.take(good) for k, v in outputs.items()}))
    return kept
