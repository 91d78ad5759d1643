"""How ControlNets lead a denoiser: what they add to its layers, each item's at its own strength."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor
from torch.utils._pytree import tree_map_only

from flowgen.values.per_item import over_items

if TYPE_CHECKING:
    from .family import Question

T = TypeVar("T")
UNET = ("cross_attention_dim", "addition_embed_type", "block_out_channels")
"""entries of a UNet's configuration that its ControlNets have alike"""
Groups = Sequence[Sequence[Tensor] | None]
"""what a ControlNet gives: for some kinds of layers, a tensor for each of them"""


@dataclass(frozen=True)
class Controlled:
    """A ControlNet in one call of a denoiser."""

    net: Any
    data: Tensor
    """[B, C, H, W], what it is led by, in its own precision"""
    weight: Tensor
    """[B], what it gives is multiplied by it; 0 where its time is over"""
    guess: bool = False
    mode: Tensor | None = None
    """[B] int64, the kind of picture, for ControlNets of several kinds"""

    def told(self, values: T) -> T:
        """Tensors, or what holds some, in the ControlNet's precision."""
        data = self.data.dtype
        found: T = tree_map_only(Tensor, lambda t: t.to(data) if t.is_floating_point() else t, values)
        return found


def summed(asked: Question, ask: Callable[[Controlled], Groups]) -> list[list[Tensor] | None]:
    """What all ControlNets of a question give together, in the precision of x: sums of what ``ask`` returns of each."""
    total: list[list[Tensor] | None] = []
    for control in asked.controls:
        groups = [weighed(group, control, asked.x) for group in ask(control)]
        total = [added(*pair) for pair in zip(total, groups, strict=True)] if total else groups
    return total


def weighed(group: Sequence[Tensor] | None, control: Controlled, x: Tensor) -> list[Tensor] | None:
    """A group times each item's weight."""
    return None if group is None else [(over_items(control.weight, each) * each).to(x) for each in group]


def added(first: list[Tensor] | None, second: list[Tensor] | None) -> list[Tensor] | None:
    """The sum of two groups."""
    if first is None or second is None:
        return first or second
    return [one + other for one, other in zip(first, second, strict=True)]


def unet_residuals(asked: Question, told: Mapping[str, Any]) -> dict[str, Any]:
    """What ControlNets add to a UNet, as its arguments; Zhang et al. 2023, arXiv:2302.05543, section 3.

    told: what the UNet is told beside x and time. Of x and channels beside it, a ControlNet reads x.
    """
    if not asked.controls:
        return {}

    def ask(control: Controlled) -> Groups:
        x = control.told(asked.x[:, : control.net.config.in_channels])
        options = {"controlnet_cond": control.data, "guess_mode": control.guess, "return_dict": False}
        down, middle = control.net(x, asked.time, **control.told(dict(told)), **options)
        return down, [middle]

    down, middle = summed(asked, ask)
    return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle[0] if middle else None}
