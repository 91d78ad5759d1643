"""What objects keep from one call to the next, as one row of bytes: packed, and put back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from flowgen.errors import WiringError, with_article

ALIGNED = 16
"""tensors begin at multiples of so many bytes"""
Kept = Mapping[str, Any]
"""attributes of one object: numbers, texts, dtypes, tensors, and tuples, lists and mappings of them"""


def packed(objects: Sequence[Kept], room: int | None, growth: int) -> Tensor:
    """The attributes of some objects as bytes, [room] uint8.

    Where no ``room`` is given it is what ``growth`` times as many tensors take, and is the same for states of the same
    shapes. Raises WiringError where it is too small, and for what can't be packed.
    """
    tensors: list[Tensor] = []
    text = json.dumps([plain(dict(each), tensors) for each in objects]).encode()
    pieces = [tensor.detach().contiguous().reshape(-1).view(torch.uint8) for tensor in tensors]
    start, size = rounded(8 + len(text)), sum(rounded(len(piece)) for piece in pieces)
    room = rounded(4096 + growth * (2 * len(text) + size)) if room is None else room
    if start + size > room:
        raise WiringError(f"what a network keeps grew to {start + size} bytes, and {room} were set aside")
    head = torch.tensor(list(len(text).to_bytes(8, "little") + text), dtype=torch.uint8)
    row = torch.zeros(room, dtype=torch.uint8, device=pieces[0].device if pieces else head.device)
    row[: len(head)] = head.to(row.device)
    for piece in pieces:
        row[start : start + len(piece)] = piece
        start += rounded(len(piece))
    return row


def unpacked(row: Tensor, device: torch.device) -> list[dict[str, Any]]:
    """The inverse, tensors on a device; nothing out of a row of zeros."""
    size = int.from_bytes(bytes(row[:8].tolist()), "little")
    if not size:
        return []
    text = bytes(row[8 : 8 + size].tolist())
    return [value(each, row.to(device)[rounded(8 + size) :]) for each in json.loads(text)]


def rounded(size: int) -> int:
    """The next multiple of ALIGNED."""
    return -(-size // ALIGNED) * ALIGNED


def plain(value: Any, tensors: list[Tensor]) -> Any:
    """A value as JSON holds it; tensors are put aside. Raises WiringError for others."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        start = sum(rounded(tensor.nbytes) for tensor in tensors)
        tensors.append(value)
        return {"tensor": list(value.shape), "dtype": name(value.dtype), "start": start}
    if isinstance(value, torch.dtype):
        return {"is": name(value)}
    if isinstance(value, torch.device):
        return {"device": ""}
    if isinstance(value, (list, tuple)):
        return {"list" if isinstance(value, list) else "tuple": [plain(each, tensors) for each in value]}
    if isinstance(value, dict):
        return {"keys": list(value), "values": [plain(each, tensors) for each in value.values()]}
    raise WiringError(f"a network keeps {with_article(type(value).__name__)}, which can't be stored")


def value(plain: Any, data: Tensor) -> Any:
    """The inverse."""
    if not isinstance(plain, dict):
        return plain
    if "tensor" in plain:
        dtype = getattr(torch, plain["dtype"])
        size = dtype.itemsize * torch.Size(plain["tensor"]).numel()
        return data[plain["start"] : plain["start"] + size].view(dtype).reshape(plain["tensor"])
    if "is" in plain:
        return getattr(torch, plain["is"])
    if "device" in plain:
        return data.device
    if "keys" in plain:
        return {key: value(each, data) for key, each in zip(plain["keys"], plain["values"], strict=True)}
    ((kind, values),) = plain.items()
    return (list if kind == "list" else tuple)(value(each, data) for each in values)


def name(dtype: torch.dtype) -> str:
    """A dtype's name in torch."""
    return str(dtype).removeprefix("torch.")
