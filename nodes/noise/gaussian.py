"""The node ``noise``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from flowgen.errors import WiringError
from flowgen.node import Uses, node
from flowgen.values import Model, Noise, PerItem
from flowgen.values.random import draw, seed_stream, start

Seed = Annotated[int, Field(ge=-(2**63), lt=2**64)]
"""what torch's generators take"""


@node("noise", stored=False)
def noise(
    seed: PerItem[Seed],
    model: Annotated[Model, Uses("latent")],
    per: PerItem[str] = "",
    width: int = 0,
    height: int = 0,
) -> Noise:
    """Standard normal noise in the model's latent shape, drawn on the CPU from the item's own seed.

    seed: as in diffusers, ``torch.Generator("cpu").manual_seed(seed)`` for each item; stochastic steps go on where
    the start noise ended.

    per: names of axes along which to draw anew; their values are hashed with the seed.

    width, height: of the decoded picture in pixels; 0 is the model's own size.
    """
    latent = model["latent"]
    factor = latent["factor"]
    if width % factor or height % factor:
        raise WiringError(f"width and height must be multiples of {factor}, not {width} x {height}")
    shape = (latent["channels"], height // factor or latent["height"], width // factor or latent["width"])
    streams = start([seed_stream(s, salt) for s, salt in zip(seed.values, per.values, strict=True)])
    data, after = draw(streams, shape)
    return Noise(data, after, latent["space"])
