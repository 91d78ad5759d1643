"""The node ``guidance.compose``."""

from __future__ import annotations

from flowgen.errors import WiringError
from flowgen.node import node
from flowgen.values import PerItem, Prediction


@node("guidance.compose")
def compose(
    conds: list[Prediction], uncond: Prediction, weights: PerItem[list[float]], scale: PerItem[float] = 1.0
) -> Prediction:
    """Several conditions at once, uncond + scale * sum of weight * (cond - uncond); Liu et al. 2022,
    arXiv:2206.01714, eq. 11.

    weights: one for each condition; a negative one leads away from it.
    """
    given = {len(each) for each in weights.values}
    if given != {len(conds)}:
        raise WiringError(f"{len(conds)} conditions need as many weights, not {min(given)}", about="weights")
    guided = uncond
    for n, cond in enumerate(conds):
        weight = PerItem([each[n] for each in weights.values])
        guided = guided + scale * weight * (cond - uncond)
    return guided
