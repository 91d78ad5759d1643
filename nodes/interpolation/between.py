"""The nodes ``noise.interpolate``, ``latent.interpolate`` and ``condition.interpolate``."""

from __future__ import annotations

import torch
from torch import Tensor

from flowgen.errors import WiringError
from flowgen.node import node
from flowgen.values import Conditioning, Latent, Noise, PerItem
from flowgen.values.per_item import over_items

from .vectors import How, interpolated


@node("noise.interpolate", stored=False)
def between_noises(a: Noise, b: Noise, at: PerItem[float], how: How = "slerp") -> Noise:
    """Noise on the way from one to another; Song et al. 2021, arXiv:2010.02502, section 5.3.

    at: 0 is a, 1 is b; below and above, the way goes on past them.

    how: slerp keeps the length that a denoiser expects of noise; lerp gives noise of less variance in the middle, 1/2
    at 0.5. Stochastic steps go on with the random stream of a.
    """
    a.same_as(b)
    return a.replace(data=interpolated(a.data, b.data, at, how))


@node("latent.interpolate", stored=False)
def between_latents(a: Latent, b: Latent, at: PerItem[float], how: How = "lerp") -> Latent:
    """A clean latent, or an image embedding, on the way from one to another.

    at: 0 is a, 1 is b; below and above, the way goes on past them.
    """
    if a.is_noisy or b.is_noisy:
        raise WiringError(
            "noisy latents aren't interpolated",
            hint="interpolate the start noises (noise.interpolate), or clean latents",
            about="a",
        )
    a.same_as(b)
    return a.replace(data=interpolated(a.data, b.data, at, how))


@node("condition.interpolate", stored=False)
def between_conditions(a: Conditioning, b: Conditioning, at: PerItem[float], how: How = "lerp") -> Conditioning:
    """A condition on the way from one to another: its states token by token, and its summary.

    at: 0 is a, 1 is b; below and above, the way goes on past them. how: lerp, or slerp of all states as one vector and
    of the summary as another, as for CLIP's image embeddings (Ramesh et al. 2022, arXiv:2204.06125, section 3.2).

    A token counts in between where it counts in either. Classes and sizes have no in-between: give them afterwards.
    """
    if a.space != b.space:
        raise WiringError(f"conditions of the kinds '{a.space}' and '{b.space}' have nothing in between", about="b")
    for name, given in (("class", "labels"), ("size", "sizes")):
        if getattr(a, given) is not None or getattr(b, given) is not None:
            raise WiringError(
                f"a condition with {given} has no in-between",
                hint=f"interpolate first, then condition.{name} with context: $NODE",
                about="a",
            )
    changes = {name: between(name, getattr(a, name), getattr(b, name), at, how) for name in ("states", "pooled")}
    return a.replace(**changes, mask=joint(a.mask, b.mask, at))


def between(name: str, a: Tensor | None, b: Tensor | None, at: PerItem[float], how: How) -> Tensor | None:
    """One field of two conditions. Raises WiringError where only one has it, or in another shape."""
    if a is None and b is None:
        return None
    shapes = [None if each is None else list(each.shape[1:]) for each in (a, b)]
    if a is None or b is None or shapes[0] != shapes[1]:
        said = " and ".join("none" if shape is None else str(shape) for shape in shapes)
        raise WiringError(f"the conditions differ in {name}: {said}", hint="encode both with one model", about="b")
    return interpolated(a, b, at, how)


def joint(a: Tensor | None, b: Tensor | None, at: PerItem[float]) -> Tensor | None:
    """Which tokens count, [B, L]: at the ends each condition's own, otherwise those of either."""
    if a is None or b is None:
        if a is not b:
            raise WiringError(
                "one of the conditions has a mask, the other none", hint="encode both with one model", about="b"
            )
        return None
    first, last = (over_items(torch.tensor([float(to == end) for to in at.values]), a).bool() for end in (0, 1))
    return torch.where(first, a, torch.where(last, b, torch.maximum(a, b)))
