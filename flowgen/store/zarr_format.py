"""The little of Zarr v3 that blocks need: metadata as JSON, one chunk to an array, bytes with crc32c.

Written by hand because the cost of publishing a block lies in its files; any Zarr reader opens the result.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeAlias

import google_crc32c
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flowgen.values.record import Record

Buffer: TypeAlias = bytes | memoryview

GROUP = json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}).encode()
DTYPES = {
    torch.bool: "bool",
    torch.uint8: "uint8",
    torch.int8: "int8",
    torch.int16: "int16",
    torch.int32: "int32",
    torch.int64: "int64",
    torch.float16: "float16",
    torch.float32: "float32",
    torch.float64: "float64",
    torch.bfloat16: "uint16",
}
"""torch's dtypes and Zarr's; bfloat16, which Zarr lacks, is kept bit for bit as whole numbers"""
NAMED = {str(dtype): dtype for dtype in DTYPES}
STORED = f"what can be stored is {', '.join(name.removeprefix('torch.') for name in NAMED)}"
"""a hint"""
CHECKSUM = 4
"""bytes of crc32c at the end of a chunk"""


def unstorable(outputs: Mapping[str, Record]) -> str | None:
    """What to say of a node's results that hold numbers of a dtype which can't be stored; None of others."""
    for output, value in outputs.items():
        for name, tensor in value.tensors().items():
            if tensor.dtype not in DTYPES:
                return f"'{output}.{name}' is of {str(tensor.dtype).removeprefix('torch.')}, which can't be stored"
    return None


def array_files(tensor: Tensor) -> dict[str, Buffer]:
    """The files of an array, by path relative to its folder, the chunk as of ``encode``.

    Raises KeyError for a dtype that can't be stored.
    """
    about = metadata(tuple(tensor.shape), DTYPES[tensor.dtype], str(tensor.dtype))
    return {chunk_at(tensor.dim()): encode(tensor), "zarr.json": about}


def chunk_at(rank: int) -> str:
    """Where the one chunk of an array lies."""
    return ".".join(["c", *["0"] * rank])


@lru_cache(maxsize=256)
def metadata(shape: tuple[int, ...], kind: str, torch_dtype: str) -> bytes:
    """``zarr.json`` of an array in one chunk."""
    about: dict[str, Any] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": kind,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [max(1, n) for n in shape]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": False if kind == "bool" else 0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "attributes": {"dtype": torch_dtype.removeprefix("torch.")},
    }
    return json.dumps(about).encode()


def encode(tensor: Tensor) -> Buffer:
    """The little-endian numbers of a chunk, which ``ending`` follows."""
    held = tensor.detach().cpu().contiguous()
    if held.dtype == torch.bfloat16:
        held = held.view(torch.uint16)
    return held.numpy().reshape(-1).view(np.uint8).data


def ending(numbers: Buffer) -> bytes:
    """What follows the numbers of a chunk: their crc32c."""
    return struct.pack("<I", checksum(np.frombuffer(numbers, dtype=np.uint8)))


def checksum(numbers: NDArray[np.uint8]) -> int:
    """crc32c of bytes, without a copy."""
    seen = numbers.view()
    seen.flags.writeable = False  # the library refuses what could change under it
    found: int = google_crc32c.value(seen)
    return found


def decode(chunk: Tensor, shape: tuple[int, ...], torch_dtype: str) -> Tensor:
    """The tensor of a chunk that was checked, as a view of it. Raises ValueError if it has another size."""
    numbers, dtype = chunk[:-CHECKSUM], NAMED.get(torch_dtype)
    if dtype is None or math.prod(shape) * dtype.itemsize != len(numbers):
        raise ValueError(f"a chunk of {len(chunk)} bytes is no {torch_dtype} of shape {shape}")
    return numbers.view(dtype).reshape(shape)
