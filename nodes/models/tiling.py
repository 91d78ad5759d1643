"""Autoencoders that work on large pictures tile by tile, by diffusers' own code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from flowgen.errors import UserError
from flowgen.values.model import Part, canonical

Tile = Literal["none", "model"] | int
TILED = ("AutoencoderKL", "AutoencoderKLWan", "AutoencoderKLLTXVideo")
"""classes of diffusers that can"""


def with_tiles(parts: Mapping[str, Part], name: str, factor: int, tile: Tile) -> dict[str, Part]:
    """The parts, with an autoencoder that tiles; it is another part, which shares no state with one that doesn't.

    name: of the autoencoder. factor: pixels for each place of a latent. Raises UserError where it can't tile so.
    """
    if tile == "none":
        return dict(parts)
    cls = json.loads(parts[name].config)["class"].partition(":")[2] if name in parts else ""
    if cls not in TILED:
        said = f"{cls} can't work tile by tile" if cls else "the model has no autoencoder"
        raise UserError(said, hint="leave 'tile' out", about="tile")
    if isinstance(tile, int) and (tile < 1 or tile % (4 * factor)):
        nearest = max(1, round(tile / (4 * factor))) * 4 * factor
        said = f"tile must be a multiple of {4 * factor} pixels, not {tile}"
        raise UserError(said, hint=f"the nearest is {nearest}; 'model' is what the autoencoder takes for itself")
    return {**parts, name: replace(parts[name], numerics=canonical({"tile": tile}))}


def tile_by(module: Any, tile: Tile) -> None:
    """Let an autoencoder work on tiles of so many pixels a side, a quarter of which overlaps; "model": of its own."""
    if tile == "model":
        module.enable_tiling()
    elif hasattr(module, "tile_latent_min_size"):
        module.enable_tiling()
        module.tile_sample_min_size = tile
        module.tile_latent_min_size = tile // 2 ** (len(module.config.block_out_channels) - 1)
    else:
        step = 3 * int(tile) // 4
        module.enable_tiling(
            tile_sample_min_height=tile,
            tile_sample_min_width=tile,
            tile_sample_stride_height=step,
            tile_sample_stride_width=step,
        )
