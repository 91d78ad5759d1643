"""The nodes ``noise.interpolate``, ``latent.interpolate`` and ``condition.interpolate``."""

from __future__ import annotations

import torch
from torch import Tensor

from flowgen.errors import WiringError
from flowgen.node import node
from flowgen.values import Conditioning, Latent, Noise, PerItem
from flowgen.values.per_item import over_items

from ..schedulers.inverted import check_one_end
from .vectors import How, interpolated

ENCODERS = "encode both with the encoders of one model, 'model: ...', and with the same options"


@node("noise.interpolate", stored=False)
def between_noises(a: Noise, b: Noise, at: PerItem[float], how: How = "slerp") -> Noise:
    """Noise on the way from one to another; Song et al. 2021, arXiv:2010.02502, section 5.3.

    at: 0 is a, 1 is b; below and above, the way goes on past them.

    how: slerp keeps the length that a denoiser expects of noise; lerp gives noise of less variance in the middle, 1/2
    at 0.5. Stochastic steps go on with the random stream of a.
    """
    check_alike("noise", a, b, "draw both with one 'width' and 'height', of a video also 'frames'")
    check_one_end(a, b)
    found = a if a.alpha is not None else b
    data = interpolated(a.data, b.data, at, how)
    return a.replace(data=data, alpha=found.alpha, sigma=found.sigma, added=found.added)


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
    check_alike("a latent", a, b, "load both pictures with one 'width' and 'height', or use latent.resize")
    return a.replace(data=interpolated(a.data, b.data, at, how))


@node("condition.interpolate", stored=False)
def between_conditions(a: Conditioning, b: Conditioning, at: PerItem[float], how: How = "lerp") -> Conditioning:
    """A condition on the way from one to another: its states token by token, and its summary.

    at: 0 is a, 1 is b; below and above, the way goes on past them. how: lerp, or slerp of all states as one vector and
    of the summary as another, as for CLIP's image embeddings (Ramesh et al. 2022, arXiv:2204.06125, section 3.2).

    A token counts in between where it counts in either. Classes and sizes have no in-between: give them afterwards.
    """
    if a.space != b.space:
        raise WiringError(
            f"b is a condition of the kind '{b.space}', a of '{a.space}': there is nothing in between",
            hint=ENCODERS,
            about="b",
        )
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
    if a is None or b is None:
        if a is not b:
            raise WiringError(f"{lacking(a, name)}: they come from two kinds of models", hint=ENCODERS)
        return None
    if a.shape != b.shape:
        axes = ", ".join(Conditioning.dims[name])
        raise WiringError(f"b has {name} of {size(b)} ({axes}), a of {size(a)}", hint=ENCODERS, about="b")
    return interpolated(a, b, at, how)


def joint(a: Tensor | None, b: Tensor | None, at: PerItem[float]) -> Tensor | None:
    """Which tokens count, [B, L]: at the ends each condition's own, otherwise those of either."""
    if a is None or b is None:
        if a is not b:
            raise WiringError(f"{lacking(a, 'mask')}: they come from two kinds of models", hint=ENCODERS, about="b")
        return None
    first, last = (over_items(torch.tensor([float(to == end) for to in at.values]), a).bool() for end in (0, 1))
    return torch.where(first, a, torch.where(last, b, torch.maximum(a, b)))


def check_alike(what: str, a: Noise | Latent, b: Noise | Latent, hint: str) -> None:
    """Raise WiringError unless two values are of one latent space and one size."""
    first, second = (each.space or "pixels" for each in (a, b))
    if first != second:
        raise WiringError(
            f"b is {what} of the latent space '{second}', a of '{first}': there is nothing in between",
            hint="make both with one model, 'model: ...'",
        )
    if a.data.shape != b.data.shape:
        axes = ", ".join(type(a).dimensions("data", a.data.dim() - 1))
        raise WiringError(f"b is {what} of {size(b.data)} ({axes}), a of {size(a.data)}", hint=hint)


def lacking(a: Tensor | None, name: str) -> str:
    """Which of two conditions has no field of this name."""
    return f"a has no {name}, b has" if a is None else f"b has no {name}, a has"


def size(tensor: Tensor) -> str:
    """The shape of one item."""
    return " x ".join(map(str, tensor.shape[1:]))
