"""Kandinsky 2.2, the design of DALL-E 2: a prior makes an image embedding of a text, a decoder a picture of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from flowgen.values import Conditioning, Model

from .family import Config, Configs, Family, Question
from .texts import tokens

EMBEDDING = "image embedding"
"""a kind of condition: one vector in CLIP's space of pictures"""


class Prior(Family):
    """Ramesh et al. 2022, arXiv:2204.06125, section 2.2: diffusion over CLIP's image embeddings, [B, D]."""

    pipelines = ("KandinskyV22PriorPipeline",)
    network = "prior"
    makes = "embeddings"
    conditions = "CLIP states with a summary and a mask"
    width = "embedding_dim"
    schedule = {  # noqa: RUF012
        "beta_schedule": "squaredcos_cap_v2",
        "timestep_spacing": "linspace",
        "variance_type": "fixed_small",  # fixed_small_log, as it is called there, is no other
    }

    def latent(self, configs: Configs) -> Config:
        """A vector."""
        size = configs["prior"]["embedding_dim"]
        return {"shape": [size], "channels": size, "space": f"embedding of {size}"}

    def kind(self, scheduler: Config) -> str:
        """The prior predicts the embedding itself."""
        return str(scheduler.get("prediction_type", "sample"))

    def encode(self, model: Model, texts: Sequence[str]) -> Conditioning:
        """CLIP's last states, its projected summary and the mask."""
        encoder = model["text_encoder"]
        ids, mask = tokens(model["tokenizer"], texts, encoder.device)
        told = encoder(ids)
        return Conditioning(told.last_hidden_state, told.text_embeds, mask, space=self.conditions)

    def predict(self, net: Any, asked: Question) -> Tensor:
        """The embedding without noise."""
        return net(
            asked.x,
            timestep=asked.time,
            proj_embedding=asked.pooled(),
            encoder_hidden_states=asked.states(),
            attention_mask=asked.needed("mask", "encode the text with the prior's own encoder").bool(),
        ).predicted_image_embedding


class Kandinsky(Family):
    """The decoder: a UNet that is told an image embedding, latents of a MoVQ.

    For inpainting it reads beside x what ``concat.known`` makes.
    """

    pipelines = ("KandinskyV22Pipeline", "KandinskyV22Img2ImgPipeline", "KandinskyV22InpaintPipeline")
    autoencoder = "movq"
    conditions = EMBEDDING

    def space(self, vae: Config) -> str:
        """MoVQ's."""
        return super().space(vae) + ", MoVQ"

    def predict(self, net: Any, asked: Question) -> Tensor:
        """Epsilon and a variance."""
        added = {"image_embeds": asked.pooled()}
        return net(asked.x, asked.time, encoder_hidden_states=None, added_cond_kwargs=added).sample

    def encode_latent(self, vae: Any, pictures: Tensor) -> tuple[Tensor, None]:
        """Without looking the latents up in the code book."""
        return vae.encode(pictures).latents, None

    def unscaled(self, vae: Any, latents: Tensor) -> Tensor:
        """As they are."""
        return latents

    scaled = unscaled

    def decode(self, vae: Any, latents: Tensor) -> Tensor:
        """Without looking the latents up, either."""
        return vae.decode(latents.to(vae.dtype), force_not_quantize=True).sample.float()
