"""The state of a diffusers scheduler object as tensors: what changed since it was set up, taken out and put back."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flowgen.errors import WiringError, with_article


class Captured:
    """One item's changed attributes.

    ``large`` are the tensors of the latent's shape [1, ...] among them, ``text`` the rest as JSON; a large tensor
    stands there by its number.
    """

    def __init__(self, scheduler: Any, fresh: Any, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.large: list[Tensor] = []
        before = vars(fresh)
        changed = {name: value for name, value in vars(scheduler).items() if not same(value, before.get(name))}
        self.text = json.dumps({name: self.plain(value, name) for name, value in changed.items()})

    def plain(self, value: Any, name: str) -> Any:
        """A value as JSON holds it. Raises WiringError for what can't be stored."""
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, (list, tuple)):
            return {type(value).__name__: [self.plain(each, name) for each in value]}
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, np.ndarray):
            return {"array": value.tolist(), "dtype": str(value.dtype)}
        if isinstance(value, Tensor):
            if tuple(value.shape) == self.shape and value.is_floating_point():
                self.large.append(value)
                return {"large": len(self.large) - 1, "dtype": str(value.dtype).removeprefix("torch.")}
            return {"tensor": value.tolist(), "dtype": str(value.dtype).removeprefix("torch.")}
        raise WiringError(f"the scheduler keeps '{name}', {with_article(type(value).__name__)}, which can't be stored")


def restored(fresh: Any, text: str, large: list[Tensor]) -> Any:
    """A scheduler like ``fresh`` with the attributes that were captured."""
    found = copy.copy(fresh)
    vars(found).update({name: copy.copy(value) for name, value in vars(fresh).items() if isinstance(value, list)})
    vars(found).update({name: value_of(each, large) for name, each in json.loads(text).items()})
    return found


def value_of(plain: Any, large: list[Tensor]) -> Any:
    """The inverse of ``Captured.plain``."""
    if not isinstance(plain, dict):
        return plain
    if "list" in plain or "tuple" in plain:
        ((kind, values),) = plain.items()
        return (list if kind == "list" else tuple)(value_of(each, large) for each in values)
    if "array" in plain:
        return np.array(plain["array"], dtype=plain["dtype"])
    dtype = getattr(torch, plain["dtype"])
    return large[plain["large"]].to(dtype) if "large" in plain else torch.tensor(plain["tensor"], dtype=dtype)


def same(value: Any, before: Any) -> bool:
    """Whether an attribute is as it was."""
    if value is before:
        return True
    if type(value) is not type(before) or holds_tensors(value):
        return False
    return bool(np.array_equal(value, before)) if isinstance(value, np.ndarray) else bool(value == before)


def holds_tensors(value: Any) -> bool:
    """Whether a value is, or holds, tensors, which aren't compared."""
    return isinstance(value, Tensor) or (isinstance(value, (list, tuple)) and any(map(holds_tensors, value)))


def texts(stored: Tensor) -> Iterator[str]:
    """Texts out of bytes [B, n], padded with zeros."""
    for row in stored.cpu().numpy():
        yield bytes(row).rstrip(b"\0").decode()


def stored(texts: list[str], size: int) -> Tensor:
    """Texts as bytes [B, size] uint8."""
    rows = [np.frombuffer(text.encode().ljust(size, b"\0"), dtype=np.uint8) for text in texts]
    return torch.from_numpy(np.stack(rows).copy())
