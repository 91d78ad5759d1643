"""The standard node pack of flowgen, installed as ``flowgen_nodes``."""

from __future__ import annotations

from . import (
    cascades,
    concat,
    conditions,
    decoders,
    denoisers,
    encoders,
    guidance,
    images,
    inpaint,
    interpolation,
    metrics,
    models,
    noise,
    routing,
    schedulers,
    std,
    zoo,
)

__all__ = [
    "cascades",
    "concat",
    "conditions",
    "decoders",
    "denoisers",
    "encoders",
    "guidance",
    "images",
    "inpaint",
    "interpolation",
    "metrics",
    "models",
    "noise",
    "routing",
    "schedulers",
    "std",
    "zoo",
]
