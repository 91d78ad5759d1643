"""The node ``noise``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from flowgen.errors import UserError, WiringError
from flowgen.node import Uses, node
from flowgen.values import Model, Noise, PerItem
from flowgen.values.random import draw, seed_stream, start

SEEDS = 2**32
"""how many seeds torch's CPU generator tells apart: it reads the lower 32 bits alone"""


def told_apart(seed: int) -> int:
    """A seed that isn't another one with more bits. Raises UserError."""
    if seed < SEEDS:
        return seed
    hint = f"torch's CPU generator reads the lower 32 bits of a seed alone: this one draws what {seed % SEEDS} draws"
    raise UserError(f"'seed' should be less than 2^32 = {SEEDS}, not {seed}", hint=hint)


Seed = Annotated[int, Field(ge=-(2**63)), AfterValidator(told_apart)]
"""what torch's CPU generator takes"""


@node("noise", stored=False)
def noise(
    seed: PerItem[Seed],
    model: Annotated[Model, Uses("latent")],
    per: PerItem[str] = "",
    width: int = 0,
    height: int = 0,
    frames: int = 0,
) -> Noise:
    """Standard normal noise in the model's latent shape, drawn on the CPU from the item's own seed.

    seed: as in diffusers, ``torch.Generator("cpu").manual_seed(seed)`` for each item, below 2^32; stochastic steps go
    on where the start noise ended.

    per: names of axes along which to draw anew, or of inputs that axes set; their values are hashed with the seed.

    width, height: of the decoded picture in pixels; frames: of the decoded video. 0 is the model's own.
    """
    latent = model["latent"]
    streams = start([seed_stream(s, salt) for s, salt in zip(seed.values, per.values, strict=True)])
    wanted = shape(latent, width, height, frames)
    if latent.get("frames_first"):
        data, after = draw(streams, (wanted[1], wanted[0], *wanted[2:]))
        return Noise(data.transpose(1, 2).contiguous(), after, latent["space"])
    data, after = draw(streams, wanted)
    return Noise(data, after, latent["space"])


def shape(latent: dict[str, Any], width: int, height: int, frames: int) -> tuple[int, ...]:
    """The shape of one item's latent. Raises WiringError for sizes that the model can't have."""
    if "shape" in latent:
        if width or height or frames:
            raise WiringError(
                "what this model samples has one size",
                hint="leave width, height and frames out",
                about="width height frames",
            )
        return tuple(latent["shape"])
    factor, multiple = latent["factor"], latent.get("multiple", latent["factor"])
    for name, size in (("width", width), ("height", height)):
        if size < 0 or size % multiple:
            nearest = max(1, round(size / multiple)) * multiple
            raise WiringError(f"{name} must be a multiple of {multiple} pixels, not {size}", hint=f"as {nearest}")
    picture = (height // factor or latent["height"], width // factor or latent["width"])
    if "frames" not in latent:
        if frames:
            raise WiringError("this model makes pictures", hint="'frames' is for video models", about="frames")
        return (latent["channels"], *picture)
    step = latent["frame_factor"]
    if frames < 0 or (frames and (frames - 1) % step):
        nearest = max(0, round((frames - 1) / step)) * step + 1
        raise WiringError(f"frames must be 1 more than a multiple of {step}, not {frames}", hint=f"as {nearest}")
    return (latent["channels"], ((frames or latent["frames"]) - 1) // step + 1, *picture)
