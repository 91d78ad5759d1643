"""The node ``denoiser.cached``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from flowgen.errors import WiringError, with_article
from flowgen.node import Carry, Uses, node
from flowgen.values import Conditioning, Latent, Model, Noisy, PerItem, Prediction

from ..families import Family
from .denoise import PARTS, RATE, denoise
from .kept import packed, unpacked
from .perturb import ONE_AT_A_TIME

How = Literal["first_block", "taylorseer"]
ATTENTION = (r"[^.]*blocks\..*attn\d?",)
"""modules whose outputs are extrapolated: attention in blocks, also where a block has two"""
WITHIN = ("head_block_output",)
"""attributes that mean something within a call alone"""


@node("denoiser.cached", stored=False)
def denoise_cached(
    x: Noisy,
    model: Annotated[Model, Uses(*PARTS)],
    kept: Carry[Tensor],
    context: Conditioning | None = None,
    concat: Latent | None = None,
    guidance: PerItem[float | None] = None,
    rate: float = RATE,
    cache: How = "first_block",
    threshold: float = 0.05,
    interval: int = 5,
    warmup: int = 3,
    order: int = 1,
    precision: Literal["bfloat16", "float32"] = "bfloat16",
) -> tuple[Prediction, Tensor]:
    """``denoiser`` with one of diffusers' step caches: some steps reuse what the network computed in earlier ones.

    That is faster and another result, so it is in the key. Ports and other parameters are those of ``denoiser``, which
    alone takes ControlNets, image prompts and perturbations.

    cache: "first_block" leaves out all blocks but the first where its residual has changed by less than ``threshold``,
    relative, since they were last computed (ParaAttention's first block cache). "taylorseer" computes every
    ``interval`` calls and extrapolates each attention's output in between with a Taylor series of ``order``, after
    ``warmup`` calls (Liu et al. 2025, arXiv:2503.06923); ``precision`` is that of the series.

    What a cache keeps, [B, n] bytes, belongs to the item: it is carried in the loop's state, so that checkpoints,
    shared beginnings and steps that leave the node unread work. A cache decides for a whole batch, so each item is
    asked alone. For transformers that know diffusers' caches: Flux, Wan, LTX, CogVideoX.
    """
    family: Family = model["family"]
    part, net = model.part(family.network), model[family.network]
    check(net, model.label, cache, part.numerics, (interval, order))
    device = torch.device(part.device) if part.device else x.data.device
    room, growth = None if kept.value is None else kept.value.shape[1], order + 1 if cache == "taylorseer" else 1
    scales: PerItem[float | None] = PerItem([None] * len(x.data)) if guidance is None else guidance
    said, after = [], []
    with caching(net, config_of(cache, threshold, interval, warmup, order, precision)) as states:
        for row in range(len(x.data)):
            states.put([] if kept.value is None else unpacked(kept.value[row], device))
            with net.cache_context("item"):
                told = denoise(
                    x.take([row]),
                    model,
                    context=None if context is None else context.take([row]),
                    concat=None if concat is None else concat.take([row]),
                    guidance=scales.take([row]),
                    rate=rate,
                )
                said.append(told)
                after.append(packed(states.taken(), room, growth))
    return Prediction.concat(said), torch.stack(after).to(x.data.device)


def check(net: Any, label: str, cache: How, numerics: str, numbers: tuple[int, int]) -> None:
    """Raise WiringError for a network that has no caches, and for numbers out of range."""
    interval, order = numbers
    if not hasattr(net, "enable_cache"):
        hint = "diffusers has caches for transformers such as Flux, Wan, LTX and CogVideoX; use denoiser"
        raise WiringError(
            f"the network of '{label}', {with_article(type(net).__name__)}, knows no step caches",
            hint=hint,
            about="model",
        )
    if "compile" in numerics:
        raise WiringError(
            "a compiled network can't leave out what it is made of", hint="leave 'compile' out", about="model"
        )
    blocks = sum(len(each) for each in net.children() if isinstance(each, torch.nn.ModuleList))
    if cache == "first_block" and blocks < 2:
        raise WiringError(f"'cache' leaves out all blocks but the first, and '{label}' has {blocks}")
    if interval < 1:
        raise WiringError(f"'interval' is at least 1, not {interval}")
    if order < 0:
        raise WiringError(f"'order' is at least 0, not {order}")


def config_of(cache: How, threshold: float, interval: int, warmup: int, order: int, precision: str) -> Any:
    """diffusers' configuration of a cache."""
    from diffusers.hooks import FirstBlockCacheConfig, TaylorSeerCacheConfig

    if cache == "first_block":
        return FirstBlockCacheConfig(threshold)
    dtype = getattr(torch, precision)
    return TaylorSeerCacheConfig(
        interval, warmup, max_order=order, taylor_factors_dtype=dtype, cache_identifiers=list(ATTENTION)
    )


class States:
    """The places where a network's hooks keep what they keep."""

    def __init__(self, net: Any) -> None:
        from diffusers.hooks.hooks import StateManager

        found = [
            held
            for module in net.modules()
            if hasattr(module, "_diffusers_hook")
            for hook in module._diffusers_hook.hooks.values()
            for held in vars(hook).values()
            if isinstance(held, StateManager)
        ]
        self.managers = list({id(manager): manager for manager in found}.values())
        """each once; hooks of one cache may share theirs"""
        self.net = net

    def put(self, objects: list[dict[str, Any]]) -> None:
        """Put an item's states in place, fresh ones where it has none."""
        for manager in self.managers:
            manager.reset()
        with self.net.cache_context("item"):
            for manager, attributes in zip(self.managers, objects, strict=False):
                vars(manager.get_state()).update(attributes)

    def taken(self) -> list[dict[str, Any]]:
        """The states after a call, to be asked within it."""
        return [
            {name: value for name, value in vars(manager.get_state()).items() if name not in WITHIN}
            for manager in self.managers
        ]


@contextmanager
def caching(net: Any, config: Any) -> Iterator[States]:
    """The network with a cache, for as long as this holds: others who use it see nothing of it."""
    with ONE_AT_A_TIME:
        net.enable_cache(config)
        try:
            yield States(net)
        finally:
            net.disable_cache()
