"""The node ``decoder.vae``."""

from __future__ import annotations

from typing import Annotated

from flowgen.errors import WiringError
from flowgen.node import Uses, node
from flowgen.values import Image, Latent, Model

from ..models.folder import vae_space


@node("decoder.vae")
def decode(latent: Latent, model: Annotated[Model, Uses("vae")]) -> Image:
    """A latent as a picture [B, 3, H, W], nominally in -1..1, not clipped (Rombach et al. 2022, section 3.1)."""
    vae = model["vae"]
    own = vae_space(dict(vae.config))
    if latent.space != own:
        raise WiringError(
            f"the latent's space ({latent.space}) is not the one that the decoder of '{model.label}' reads ({own})",
            hint="decode with the VAE of the model that made the latent",
        )
    scaled = latent.data / (vae.config.scaling_factor or 1.0) + (vae.config.shift_factor or 0.0)
    return Image(vae.decode(scaled.to(vae.dtype)).sample.float())
