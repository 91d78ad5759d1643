"""Per-item random streams: an item's noise depends on its own seed, never on its batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

STATE_BYTES = 5056
"""Size of a CPU generator's state (Mersenne twister)."""


def is_abstract() -> bool:
    """True while graphs are checked: tensors have shapes and no numbers."""
    return any(isinstance(mode, FakeTensorMode) for mode in _get_current_dispatch_mode_stack())


def seed_stream(seed: int, salt: str = "") -> int:
    """The generator seed for an item: the seed itself, or with a salt a 63-bit hash of both."""
    if not salt:
        return seed
    digest = hashlib.sha256(f"flowgen-noise-1\n{seed}\n{salt}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def start(seeds: Sequence[int]) -> Tensor:
    """Fresh streams [B, 5056] uint8: ``torch.Generator("cpu").manual_seed(seed)`` for each item."""
    if is_abstract():
        return torch.empty(len(seeds), STATE_BYTES, dtype=torch.uint8)
    generator = torch.Generator("cpu")
    return torch.stack([generator.manual_seed(seed).get_state() for seed in seeds])


def draw(stream: Tensor, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Standard normal noise [B, *shape] from each item's own stream, and the streams after it."""
    if isinstance(stream, FakeTensor):
        return torch.empty(len(stream), *shape, dtype=dtype), stream
    drawn, states, generator = [], [], torch.Generator("cpu")
    for state in stream.cpu():
        generator.set_state(state.clone())  # a row of a larger tensor crashes set_state
        drawn.append(torch.randn(*shape, generator=generator, dtype=dtype))
        states.append(generator.get_state())
    return torch.stack(drawn), torch.stack(states)
