"""Families of models: one file for each says how its networks are spoken with.

``TABLE`` finds a family by the pipeline that a folder's ``model_index.json`` names. A pack adds one with ``register``.
"""

from __future__ import annotations

from typing import TypeVar

from flowgen.errors import UserError, with_article
from flowgen.values.model import Part, canonical

from .animatediff import AnimateDiff
from .audioldm2 import AudioLDM2
from .cogvideox import CogVideoX
from .deepfloyd import DeepFloyd
from .dit import DiT
from .family import Config, Configs, Family, Question
from .flux import Flux
from .kandinsky import Kandinsky, Prior
from .ltx import LTX
from .pixart import PixArt, PixArtSigma
from .pixels import Pixels
from .sd3 import StableDiffusion3
from .sdxl import StableDiffusionXL
from .stable_audio import StableAudio
from .stable_diffusion import InstructPix2Pix, StableDiffusion, Variations
from .upscalers import LatentUpscaler, Upscaler
from .wan import Wan

F = TypeVar("F", bound=type[Family])

TABLE: dict[str, type[Family]] = {}
"""families by the name of a diffusers pipeline"""


def register(family: F) -> F:
    """Know a family by the pipelines that it names; a later one takes the place of an earlier."""
    TABLE.update(dict.fromkeys(family.pipelines, family))
    return family


SHIPPED: tuple[type[Family], ...] = (
    Pixels,
    StableDiffusion,
    InstructPix2Pix,
    Variations,
    Upscaler,
    LatentUpscaler,
    StableDiffusionXL,
    StableDiffusion3,
    Flux,
    PixArt,
    PixArtSigma,
    DiT,
    DeepFloyd,
    Prior,
    Kandinsky,
    AnimateDiff,
    Wan,
    LTX,
    CogVideoX,
    StableAudio,
    AudioLDM2,
)
for shipped in SHIPPED:
    register(shipped)


def family_for(pipeline: str, label: str) -> Family:
    """The family of a folder that names this pipeline. Raises UserError for one that nobody has told flowgen of."""
    if pipeline not in TABLE:
        raise UserError(
            f"flowgen doesn't know the family of '{label}', which says that it is "
            f"{with_article(pipeline or 'pipeline')}",
            hint="a family says what latents are like, how texts are encoded, how the denoiser is called and how "
            "latents are decoded: docs/families.md shows how to write one; known: " + ", ".join(sorted(TABLE)),
        )
    return TABLE[pipeline]()


def family_part(family: Family, index: Config, configs: Configs, folder: str) -> Part:
    """A family as a part of a model, without weights."""
    cls = type(family)
    return Part("family", f"{cls.__module__}:{cls.__qualname__}", folder, canonical(family.about(index, configs)))


__all__ = ["TABLE", "Config", "Configs", "Family", "Question", "family_for", "family_part", "register"]
