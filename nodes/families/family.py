"""What flowgen must be told of a family of models, so that nodes can speak with its networks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from torch import Tensor

from flowgen.errors import WiringError
from flowgen.values import Conditioning, Model, Part, Time
from flowgen.values.diffusion import space_of
from flowgen.values.model import Loader

from .controls import Controlled

Config = dict[str, Any]
Configs = Mapping[str, Config]
"""configurations of a folder's parts by name"""


@dataclass(frozen=True)
class Question:
    """What a denoiser is asked: x in the network's precision and scale, and all that it may read beside."""

    x: Tensor
    """[B, C, ...]"""
    time: Tensor
    """[B], the model's own time as the scheduler counts it"""
    context: Conditioning
    guidance: Tensor | None
    """[B], the scale that a distilled model is told"""
    rate: float
    """frames per second of a video"""
    latent: Config
    """what the model's latents are like, see ``Family.latent``"""
    controls: tuple[Controlled, ...] = ()
    """the ControlNets that lead it in this call"""
    prompts: tuple[Tensor, ...] = ()
    """for each of the network's adapters of image prompts, a picture's embedding [B, D] or states [B, L, D]"""
    at: Time = field(kw_only=True)
    """where in the diffusion x is"""

    def states(self) -> Tensor:
        """The condition's states in the network's precision, [B, L, D]. Raises WiringError without any."""
        return self.needed("states", "encode a text with encoder.text")

    def pooled(self) -> Tensor:
        """The condition's summary in the network's precision, [B, D]. Raises WiringError without one."""
        return self.needed("pooled", "encode with the encoders of the same model")

    def needed(self, field: str, hint: str) -> Tensor:
        """A field of the condition, in the network's precision."""
        found: Tensor | None = getattr(self.context, field)
        if found is None:
            raise WiringError(
                f"the denoiser needs a condition with {field}", hint=f"wire 'context': {hint}", about="context"
            )
        return found.to(self.x.dtype) if found.is_floating_point() else found


class Family(Loader):
    """A family of models. It is a part of the model itself, ``model["family"]``, without weights.

    Subclasses are stateless; what they read of ``model_index.json`` is in ``options``.
    """

    pipelines: ClassVar[tuple[str, ...]] = ()
    """diffusers' pipelines, as ``model_index.json`` names them, whose folders are of this family"""
    network: ClassVar[str] = "unet"
    """the part that predicts"""
    autoencoder: ClassVar[str] = "vae"
    """the part that decodes; a folder without it works in pixels"""
    makes: ClassVar[Literal["pictures", "videos", "sounds", "embeddings"]] = "pictures"
    conditions: ClassVar[str] = ""
    """what kind of condition the network reads: families of one kind read one another's; empty for none"""
    width: ClassVar[str] = ""
    """the entry of the network's configuration that says how wide the states of a condition are"""
    controlnet: ClassVar[str] = ""
    """diffusers' class of the ControlNets that lead the network; empty for none"""
    shared: ClassVar[tuple[str, ...]] = ()
    """entries of the network's configuration that a ControlNet for it has alike"""
    adapts: ClassVar[bool] = False
    """whether the network takes image prompts (IP-Adapter)"""
    schedule: ClassVar[Config] = {}
    """what the family's pipeline adds to the scheduler's configuration without saying it there"""
    reads: ClassVar[Mapping[str, Any]] = {}
    """entries of ``model_index.json`` that matter, with what holds where they are missing"""
    careful: ClassVar[bool] = False
    """whether an autoencoder whose configuration says ``force_upcast`` runs in float32 where float16 is asked for"""
    paced: ClassVar[bool] = False
    """whether the network is told frames per second"""
    told: ClassVar[tuple[str, ...]] = ()
    """options of encoder.text that ``encode`` reads: clip_skip, chunks, weighting, text_2, text_3"""
    emptied: ClassVar[tuple[str, ...]] = ()
    """fields of a condition that are zero where a text is empty, as the family's own pipeline has it"""

    def __init__(self) -> None:
        self.options: Config = {}

    def load(self, part: Part, device: str) -> Self:
        """The family with its options."""
        self.options = json.loads(part.config)
        return self

    def about(self, index: Config, configs: Configs) -> Config:
        """The options of a folder: from ``model_index.json`` and, where an encoder needs it, its networks' sizes."""
        return {name: index.get(name, default) for name, default in self.reads.items()}

    def made_parts(self, parts: Mapping[str, Part]) -> dict[str, Part]:
        """Parts that are made of others; see AnimateDiff."""
        return {}

    def latent(self, configs: Configs) -> Config:
        """What noise for this model is like.

        ``channels``, ``height``, ``width`` (where nothing is said), ``factor`` (pixels for each of them) and ``space``;
        for a video also ``frames``, ``frame_factor`` and, where the pipeline draws noise frame by frame,
        ``frames_first``; or, where there is no size to choose, ``shape``. ``beside``
        is the number of channels that the network reads beside x.
        """
        net = configs[self.network]
        size = net.get("sample_size") or 0
        height, width = size if isinstance(size, list) else (size, size)
        vae = configs.get(self.autoencoder)
        channels = vae["latent_channels"] if vae else net["in_channels"]
        return {
            "channels": channels,
            "height": height,
            "width": width,
            "factor": factor_of(vae) if vae else 1,
            "space": self.space(vae) if vae else "",
            "beside": net["in_channels"] - channels,
        }

    def space(self, vae: Config) -> str:
        """The identity of the latent space that an autoencoder reads and writes."""
        scale, shift = vae.get("scaling_factor") or 1.0, vae.get("shift_factor") or 0.0
        return space_of(vae["latent_channels"], scale, shift, factor_of(vae))

    def kind(self, scheduler: Config) -> str | None:
        """The kind of prediction, where the scheduler's configuration doesn't tell."""
        return None

    def encode(self, model: Model, texts: Sequence[str]) -> Conditioning:
        """Texts as the network reads them; ``Texts``, with the options in ``told``. Raises WiringError if it can't."""
        raise WiringError(
            f"'{model.label}' reads no text", hint="leave 'context' out, or use condition.class", about="model"
        )

    def lasting(self, model: Model, found: Conditioning, seconds: Sequence[float | None]) -> Conditioning:
        """A condition that says how many seconds the result lasts, None is the longest. Raises WiringError if not."""
        if any(seconds):
            raise WiringError(f"'{model.label}' isn't told seconds", hint="leave 'seconds' out", about="seconds")
        return found

    def predict(self, net: Any, asked: Question) -> Tensor:
        """What the network says, [B, C, ...]; with twice the channels where it also says a variance."""
        raise NotImplementedError  # pragma: no cover

    def led_by(self, net: Any, data: Tensor, model: Model) -> Tensor:
        """What a ControlNet reads, from a picture [B, C, H, W] in 0..1 or a latent as the denoiser sees it."""
        return data

    def encode_latent(self, vae: Any, pictures: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mean and deviation of the latents of pictures [B, 3, H, W] in -1..1, not yet scaled; None: one latent."""
        found = vae.encode(pictures).latent_dist
        return found.mean, found.std

    def scaled(self, vae: Any, latents: Tensor) -> Tensor:
        """Latents of the autoencoder as the denoiser sees them; ``unscaled`` is the inverse."""
        return (latents - (vae.config.shift_factor or 0.0)) * (vae.config.scaling_factor or 1.0)

    def unscaled(self, vae: Any, latents: Tensor) -> Tensor:
        """Latents of the denoiser as the autoencoder sees them."""
        return latents / (vae.config.scaling_factor or 1.0) + (vae.config.shift_factor or 0.0)

    def decode(self, vae: Any, latents: Tensor) -> Tensor:
        """What latents stand for: pictures [B, 3, H, W], videos [B, 3, F, H, W] or sounds [B, channels, samples]."""
        return vae.decode(self.unscaled(vae, latents).to(vae.dtype)).sample.float()


def factor_of(vae: Config) -> int:
    """By how much an AutoencoderKL shrinks height and width."""
    return 2 ** (len(vae["block_out_channels"]) - 1)
