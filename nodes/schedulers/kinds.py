"""What a network predicts, from the configuration of its scheduler."""

from __future__ import annotations

from typing import Any

from flowgen.errors import WiringError
from flowgen.values import Prediction

from .schedule import is_edm, is_flow


def predicted(about: dict[str, Any]) -> str:
    """The kind of prediction, one of flowgen.values' KINDS, that a diffusers scheduler configuration stands for."""
    if is_flow(about):
        return "flow"
    said: str = about.get("prediction_type", "epsilon")
    return "edm" if is_edm(about) and said == "epsilon" else said


def expected(asked: str, about: dict[str, Any]) -> str:
    """The kind that is asked for; "model" is what the configuration says."""
    return predicted(about) if asked == "model" else asked


def check_kind(prediction: Prediction, kind: str) -> None:
    """Raise WiringError for a prediction of another kind than is expected."""
    if prediction.kind != kind:
        raise WiringError(
            f"the denoiser predicts '{prediction.kind}', the scheduler expects '{kind}'",
            hint="leave prediction_type out to take the model's own",
            about="prediction_type prediction",
        )
