"""Files of tiny adapters of image prompts (IP-Adapter), in the layout of those that are published."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

WIDTH = 32
"""of the image encoder's embeddings, and of its states"""


def ip_adapter(unet: Any, plus: bool = False, seed: int = 0) -> dict[str, Tensor]:
    """The tensors of an adapter for a UNet: of four tokens, or ``plus``, whose resampler makes three of the states."""
    draw = torch.Generator().manual_seed(seed)
    wide = unet.config.cross_attention_dim
    shapes = resampler(wide) if plus else {"proj.weight": (4 * wide, WIDTH), "proj.bias": (4 * wide,)}
    shapes |= {} if plus else {"norm.weight": (wide,), "norm.bias": (wide,)}
    found = {f"image_proj.{name}": shape for name, shape in shapes.items()}
    cross = [m for name, m in unet.named_modules() if name.endswith("attn2")]
    for number, module in enumerate(cross):
        shape = tuple(module.to_k.weight.shape)
        found |= {f"ip_adapter.{2 * number + 1}.to_{k}_ip.weight": shape for k in "kv"}
    return {name: torch.randn(shape, generator=draw) * 0.4 for name, shape in found.items()}


def resampler(wide: int, inner: int = 64, depth: int = 4) -> dict[str, tuple[int, ...]]:
    """The shapes of the projection of IP-Adapter Plus."""
    found: dict[str, tuple[int, ...]] = {"latents": (1, 3, inner), "proj_in.weight": (inner, WIDTH)}
    found |= {"proj_in.bias": (inner,), "proj_out.weight": (wide, inner), "proj_out.bias": (wide,)}
    found |= {f"norm_out.{name}": (wide,) for name in ("weight", "bias")}
    for n in range(depth):
        norms = ("0.norm1", "0.norm2", "1.0")
        found |= {f"layers.{n}.{norm}.{name}": (inner,) for norm in norms for name in ("weight", "bias")}
        found |= {f"layers.{n}.0.to_q.weight": (64, inner), f"layers.{n}.0.to_kv.weight": (128, inner)}
        found |= {f"layers.{n}.0.to_out.weight": (inner, 64)}
        found |= {f"layers.{n}.1.1.weight": (4 * inner, inner), f"layers.{n}.1.3.weight": (inner, 4 * inner)}
    return found
