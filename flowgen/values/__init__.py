"""What ports carry: small frozen records of tensors, item axis first, and references to models."""

from __future__ import annotations

from flowgen.values.carried import Carried
from flowgen.values.diffusion import Conditioning, Control, Latent, Noise, Noisy, Prediction
from flowgen.values.model import Model, Part, Reference
from flowgen.values.observed import Audio, Features, Image, Moments, Score, Video
from flowgen.values.per_item import PerItem
from flowgen.values.record import Record
from flowgen.values.time import Time
from flowgen.values.value import Value

__all__ = [
    "Audio",
    "Carried",
    "Conditioning",
    "Control",
    "Features",
    "Image",
    "Latent",
    "Model",
    "Moments",
    "Noise",
    "Noisy",
    "Part",
    "PerItem",
    "Prediction",
    "Record",
    "Reference",
    "Score",
    "Time",
    "Value",
    "Video",
]
