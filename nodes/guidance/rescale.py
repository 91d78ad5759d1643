"""The node ``guidance.rescale``."""

from __future__ import annotations

from flowgen.node import node
from flowgen.values import PerItem, Prediction
from flowgen.values.per_item import over_items

from .vectors import ratio, spread


@node("guidance.rescale")
def rescale(guided: Prediction, cond: Prediction, phi: PerItem[float] = 0.7) -> Prediction:
    """Guidance that keeps the spread of the conditional prediction; Lin et al. 2023, arXiv:2305.08891, eq. 15 and 16.

    It follows any other guidance and takes back the overexposure that large scales bring.

    phi: 0 leaves ``guided`` as it is, 1 brings its standard deviation to that of ``cond``; numbers beyond
    go on past that.
    """
    if not any(phi.values):
        return guided
    factor = phi.tensor.double().to(guided.data.device) * (ratio(spread(cond.data), spread(guided.data)) - 1) + 1
    return guided.replace(data=over_items(factor, guided.data) * guided.data)
