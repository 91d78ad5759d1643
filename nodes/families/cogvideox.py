"""CogVideoX: T5's states beside the video's own tokens, a video transformer, v prediction with zero terminal SNR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from flowgen.errors import UserError
from flowgen.values import Conditioning, Model

from .family import Config, Configs, Family, Question, factor_of
from .texts import t5


class CogVideoX(Family):
    """CogVideoX 2B and 5B, text to video; Yang et al. 2024, arXiv:2408.06072. Latents are [B, C, F, H, W]."""

    pipelines = ("CogVideoXPipeline",)
    network = "transformer"
    makes = "videos"
    conditions = "T5 states beside a video"
    width = "text_embed_dim"
    schedule = {"clip_sample": False}  # noqa: RUF012

    def about(self, index: Config, configs: Configs) -> Config:
        """T5's tokens. Raises UserError for CogVideoX 1.5, whose patches reach over frames."""
        net = configs["transformer"]
        if net.get("patch_size_t"):
            raise UserError("CogVideoX 1.5, whose patches reach over frames, isn't supported yet")
        return {"length": net["max_text_seq_length"]}

    def latent(self, configs: Configs) -> Config:
        """Sizes are the transformer's own; noise is drawn frame by frame."""
        net, vae = configs["transformer"], configs["vae"]
        factor = factor_of(vae)
        return {
            "channels": vae["latent_channels"],
            "height": net["sample_height"],
            "width": net["sample_width"],
            "frames": net["sample_frames"],
            "factor": factor,
            "frame_factor": int(vae["temporal_compression_ratio"]),
            "frames_first": True,
            "multiple": factor * net["patch_size"],
            "space": self.space(vae),
            "beside": net["in_channels"] - vae["latent_channels"],
        }

    def space(self, vae: Config) -> str:
        """The autoencoder's, with frames."""
        return f"{super().space(vae)}, 1/{int(vae['temporal_compression_ratio'])} frames, CogVideoX"

    def encode(self, model: Model, texts: Sequence[str]) -> Conditioning:
        """[B, 226, D]."""
        length = self.options["length"]
        states, _ = t5(model["text_encoder"], model["tokenizer"], texts, length, masked=False)
        return Conditioning(states, space=self.conditions)

    def predict(self, net: Any, asked: Question) -> Tensor:
        """v of all frames."""
        said = net(
            asked.x.transpose(1, 2),
            encoder_hidden_states=asked.states(),
            timestep=asked.time,
            image_rotary_emb=places(net, asked.x) if net.config.use_rotary_positional_embeddings else None,
        ).sample
        return said.transpose(1, 2)


def places(net: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Rotary embeddings of the patches of x [B, C, F, H, W], cosines and sines; the picture's middle stays in place."""
    from diffusers.models.embeddings import get_3d_rotary_pos_embed
    from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid

    about = net.config
    frames, height, width = x.shape[2], x.shape[3] // about.patch_size, x.shape[4] // about.patch_size
    trained = (about.sample_width // about.patch_size, about.sample_height // about.patch_size)
    cosines, sines = get_3d_rotary_pos_embed(
        embed_dim=about.attention_head_dim,
        crops_coords=get_resize_crop_region_for_grid((height, width), *trained),
        grid_size=(height, width),
        temporal_size=frames,
        device=x.device,
    )
    return cosines, sines
