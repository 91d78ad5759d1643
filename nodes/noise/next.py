"""The node ``noise.next``."""

from __future__ import annotations

from flowgen.node import node
from flowgen.values import Noise
from flowgen.values.random import draw


@node("noise.next", stored=False)
def following(after: Noise) -> Noise:
    """Noise of the same shape, drawn from where the stream of other noise stands.

    Where diffusers' pipelines encode a picture with one draw and begin with the next, so does
    ``encoder.vae noise: $first`` and ``start: $second``.
    """
    data, stream = draw(after.stream, after.data.shape[1:])
    return Noise(data, stream, after.space)
