"""The nodes that decode: ``decoder.vae``, ``decoder.video``, ``decoder.audio``."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from flowgen.errors import WiringError
from flowgen.node import Uses, node
from flowgen.values import Audio, Image, Latent, Model, Video

from ..families import Family

NODES = {"pictures": "decoder.vae", "videos": "decoder.video", "sounds": "decoder.audio"}
Decoding = Annotated[Model, Uses("family", "vae?", "movq?", "vae_vocoder?")]


@node("decoder.vae")
def decode(latent: Latent, model: Decoding) -> Image:
    """A latent as a picture [B, 3, H, W], nominally in -1..1, not clipped (Rombach et al. 2022, section 3.1).

    What a model of pixels samples is a picture already.
    """
    return Image(decoded(latent, model, "pictures"))


@node("decoder.video")
def decode_video(latent: Latent, model: Decoding, rate: float = 8.0) -> Video:
    """A latent [B, C, F, H, W] as a video [B, frames, 3, H, W], nominally in -1..1, not clipped.

    rate: frames per second at which it is shown; it changes no frame.
    """
    if rate <= 0:
        raise WiringError(f"rate is a number of frames per second, not {rate}", hint="above 0, as 8")
    return Video(decoded(latent, model, "videos").transpose(1, 2), rate=rate)


@node("decoder.audio")
def decode_audio(latent: Latent, model: Decoding, seconds: float = 0.0) -> Audio:
    """A latent [B, C, L] as a sound [B, speakers, samples], nominally in -1..1, not clipped.

    seconds: how much of it to keep; 0 is all. Sounds are as long as the model's, silent after the time that
    encoder.text was told.
    """
    if seconds < 0:
        raise WiringError(f"seconds is how much of a sound is kept, not {seconds}", hint="0 keeps all of it")
    sound = decoded(latent, model, "sounds")
    family: Family = model["family"]
    rate = model[family.autoencoder].config.sampling_rate
    return Audio(sound[..., : round(seconds * rate)] if seconds else sound, rate)


def decoded(latent: Latent, model: Model, makes: str) -> Tensor:
    """What a latent stands for. Raises WiringError for one of another space, or a model that makes something else."""
    family: Family = model["family"]
    if family.makes != makes:
        right = NODES.get(family.makes)
        hint = f"use {right}" if right else "wire it into a condition"
        raise WiringError(f"'{model.label}' makes {family.makes}, not {makes}", hint=hint, about="model")
    vae = model[family.autoencoder] if family.autoencoder in model.parts else None
    own = family.space(dict(vae.config)) if vae is not None else ""
    if latent.is_noisy:
        raise WiringError(
            "the latent is noisy: its sampler ended early (until)",
            hint="take it up in another: init: $NODE, after: ...",
            about="latent",
        )
    if latent.space != own:
        raise WiringError(
            f"the latent's space ({latent.space or 'pixels'}) is not the one that the decoder of '{model.label}' reads "
            f"({own or 'pixels'})",
            hint="decode with the VAE of the model that made the latent",
            about="latent",
        )
    return latent.data if vae is None else family.decode(vae, latent.data)
