"""The node ``encoder.vae``."""

from __future__ import annotations

from typing import Annotated

from flowgen.errors import WiringError
from flowgen.node import Uses, node
from flowgen.values import Image, Latent, Model, Noise

from ..families import Family

Encoding = Annotated[Model, Uses("family", "vae?", "movq?")]


@node("encoder.vae")
def encode_image(image: Image, model: Encoding, noise: Noise | None = None) -> Latent:
    """A picture [B, 3, H, W] as a latent, scaled as the denoiser sees it (Rombach et al. 2022, section 3.1).

    noise: with it, a sample of what the encoder takes the latent to be, mean + deviation * noise, as diffusers' own
    pipelines draw it; without, the mean. Kandinsky's MoVQ knows no deviation, and takes none. For a model of pixels the
    picture is the latent.
    """
    low, high = image.range
    pictures = (image.data - low) / (high - low) * 2 - 1
    family: Family = model["family"]
    if family.makes != "pictures":
        raise WiringError(f"'{model.label}' makes {family.makes}: its encoder takes no picture", about="model")
    if family.autoencoder not in model.parts:
        return Latent(pictures, "")
    vae = model[family.autoencoder]
    space = family.space(dict(vae.config))
    data, deviation = family.encode_latent(vae, pictures.to(vae.dtype))
    if noise is not None:
        if deviation is None:
            raise WiringError(f"the encoder of '{model.label}' draws nothing", hint="leave 'noise' out", about="noise")
        if noise.space != space:
            raise WiringError(
                f"the noise is of the space '{noise.space}', the latent of '{space}'",
                hint="draw it for this model",
                about="noise",
            )
        if noise.data.shape != data.shape:
            shapes = f"{list(noise.data.shape[1:])}, the latent {list(data.shape[1:])}"
            raise WiringError(
                f"the noise has the shape {shapes}", hint="the noise takes width and height in pixels", about="noise"
            )
        data = data + deviation * noise.data.to(data)
    return Latent(family.scaled(vae, data).float(), space)
