"""The nodes ``features`` and ``reference``: what Fréchet distances compare."""

from __future__ import annotations

import hashlib
from typing import Annotated

import torch

from flowgen.errors import UserError, WiringError
from flowgen.node import Source, Uses, node
from flowgen.values import Features, Image, Model, Moments

from ..models.files import regular


def identity(model: Model) -> str:
    """What an extractor is called in results: its class and a hash of its configuration."""
    config = model.part("features").config
    return f"{model.config('features')['class'].partition(':')[2]} {hashlib.sha256(config.encode()).hexdigest()[:12]}"


@node("features")
def features(image: Image, model: Annotated[Model, Uses("features")]) -> Features:
    """Feature vectors [B, D] of pictures, by the model's feature extractor, with pictures clipped to their range."""
    network = model["features"]
    precision = next(network.parameters()).dtype
    return Features(network((image.unit() * 2 - 1).to(precision)).float(), identity(model))


@node("reference", stored=False)
def reference(from_: Source, model: Annotated[Model, Uses("features")]) -> Moments:
    """Stored statistics of a set of real pictures: count, mean and scatter of their features.

    from: "zoo:NAME" or a safetensors file with ``count``, ``mean`` [D], ``scatter`` [D, D], float64. Made by the same
    extractor as the features that it is compared with; another one is an error.
    """
    from safetensors import SafetensorError, safe_open

    path = from_.path / "statistics.safetensors" if from_.path.is_dir() else from_.path
    try:
        with safe_open(str(regular(path)), framework="numpy") as file:
            about = file.metadata() or {}
            count, mean, scatter = (torch.tensor(file.get_tensor(name))[None] for name in ("count", "mean", "scatter"))
    except (OSError, SafetensorError) as error:
        raise UserError(f"can't read the statistics '{from_.text}': {error}", about="from") from None
    if about.get("extractor") != identity(model):
        raise WiringError(
            f"'{from_.text}' was made by the extractor '{about.get('extractor')}', not by '{identity(model)}'",
            hint="statistics of two extractors can't be compared",
            about="from",
        )
    return Moments(count.to(torch.long), mean.double(), scatter.double(), identity(model))
