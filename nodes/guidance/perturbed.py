"""The node ``guidance.perturbed``."""

from __future__ import annotations

from typing import Any

from flowgen.errors import WiringError
from flowgen.node import node
from flowgen.values import PerItem, Prediction

from .cfg import check_uncond


def unused(params: dict[str, Any]) -> set[str]:
    """What cancels out: uncond at scale 1, the perturbed prediction at 0."""
    ports = {"uncond"} if params["scale"] == 1 else set()
    return ports | ({"perturbed"} if params["perturbed_scale"] == 0 else set())


@node("guidance.perturbed", unused=unused)
def perturbed(
    cond: Prediction,
    perturbed: Prediction | None = None,
    uncond: Prediction | None = None,
    scale: PerItem[float] = 1.0,
    perturbed_scale: PerItem[float] = 3.0,
) -> Prediction:
    """Guidance away from the same network with a part put out of action, with or without a prompt:
    uncond + scale * (cond - uncond) + perturbed_scale * (cond - perturbed).

    ``perturbed`` is a ``denoiser`` with ``perturb``: identity attention is PAG (Ahn et al. 2024, arXiv:2403.17377),
    blurred attention SEG (Hong 2024, arXiv:2408.00760), skipped layers SLG (Stability AI 2024, with SD 3.5).
    """
    if uncond is None:
        check_uncond(scale)
        guided = cond
    else:
        guided = uncond + scale * (cond - uncond)
    if perturbed is None:
        if any(perturbed_scale.values):
            raise WiringError(
                "a perturbed_scale other than 0 needs 'perturbed'",
                hint="wire it, or set it to 0",
                about="perturbed_scale",
            )
        return guided
    return guided + perturbed_scale * (cond - perturbed)
