"""The networks of zoo:digits, built from their configurations: standard diffusers and transformers classes."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.models.embeddings import Timesteps
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from .captions import DIGITS, NAMES
from .vocabulary import MAX_LENGTH

WIDTH = 64
"""Hidden size of both CLIP towers, their projection and the denoiser's cross-attention."""


def clip(tokens: CLIPTokenizer) -> CLIPModel:
    """Both towers; the text tower conditions the denoiser, the whole scores images (Radford et al. 2021)."""
    shared = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_attention_heads": 4, "projection_dim": WIDTH}
    text = shared | {
        "vocab_size": len(tokens),
        "num_hidden_layers": 2,
        "max_position_embeddings": MAX_LENGTH,
        "bos_token_id": tokens.bos_token_id,
        "eos_token_id": tokens.eos_token_id,
        "pad_token_id": tokens.pad_token_id,
    }
    vision = shared | {"num_hidden_layers": 4, "image_size": 32, "patch_size": 4}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH))


def autoencoder() -> AutoencoderKL:
    """32x32x3 to a latent of 4x8x8 (Rombach et al. 2022)."""
    widths = (16, 32, 64)
    return AutoencoderKL(
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        latent_channels=4,
        norm_num_groups=8,
        sample_size=32,
        scaling_factor=1.0,
    )


def denoiser() -> UNet2DConditionModel:
    """Predicts epsilon on the 4x8x8 latent, cross-attending to the caption at 4x4."""
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=16,
        attention_head_dim=4,
        cross_attention_dim=WIDTH,
    )


def scheduler() -> DDIMScheduler:
    """Stable Diffusion's schedule with a later end: beta 0.02 leaves no trace of the ground colour at the last step."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.02,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


class Classifier(nn.Module):
    """Four convolutions to 64 features, and heads for digit, ink and ground.

    ``forward`` takes images [B, 3, 32, 32] in -1..1 and returns the features [B, 64]; ``logits`` the three heads.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        channels = (3, width // 2, width // 2, width, width)
        layers: list[nn.Module] = []
        for n, (before, after) in enumerate(zip(channels, channels[1:], strict=False)):
            stride = 2 if n else 1
            layers += [nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after), nn.SiLU()]
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * width, width), nn.SiLU())
        self.heads = nn.ModuleDict(
            {
                "digit": nn.Linear(width, len(DIGITS)),
                "ink": nn.Linear(width, len(NAMES)),
                "ground": nn.Linear(width, len(NAMES)),
            }
        )

    def forward(self, images: Tensor) -> Tensor:
        """Features [B, 64]."""
        features: Tensor = self.trunk(images)
        return features

    def logits(self, images: Tensor) -> dict[str, Tensor]:
        """Unnormalised class scores by head, [B, 10], [B, 9], [B, 9]."""
        features = self(images)
        return {name: head(features) for name, head in self.heads.items()}


class NoisyClassifier(nn.Module):
    """Names the digit in a noisy latent, for classifier guidance (Dhariwal & Nichol 2021, arXiv:2105.05233, section 4).

    ``forward`` takes latents [B, 4, 8, 8] of unit variance and timesteps [B]; it returns logits [B, 10].
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.times = nn.Sequential(Timesteps(width, True, 0), nn.Linear(width, width), nn.SiLU())
        self.enter = nn.Conv2d(4, width, 3, 1, 1)
        self.blocks = nn.ModuleList(Block(width, stride) for stride in (1, 2, 1))
        self.leave = nn.Sequential(nn.Flatten(), nn.Linear(16 * width, width), nn.SiLU(), nn.Linear(width, len(DIGITS)))

    def forward(self, x: Tensor, timestep: Tensor) -> Tensor:
        """Logits [B, 10]."""
        time = self.times[1:](self.times[0](timestep).to(x.dtype))
        x = self.enter(x)
        for block in self.blocks:
            x = block(x, time)
        logits: Tensor = self.leave(x)
        return logits


class Block(nn.Module):
    """Two convolutions with the time between them, and a way past."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, width, 3, stride, 1))
        self.time = nn.Linear(width, 2 * width)
        self.normed = nn.GroupNorm(8, width)
        self.second = nn.Sequential(nn.SiLU(), nn.Conv2d(width, width, 3, 1, 1))
        self.past: nn.Module = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """[B, C, H, W] to the same, or half the size."""
        scale, shift = self.time(time)[:, :, None, None].chunk(2, dim=1)
        found: Tensor = self.past(x) + self.second(self.normed(self.first(x)) * (1 + scale) + shift)
        return found


def freeze(module: nn.Module) -> None:
    """Evaluation mode, no gradients."""
    module.eval().requires_grad_(False)


def parameters(module: nn.Module) -> int:
    """How many weights a module has."""
    return sum(weight.numel() for weight in module.parameters())


def half(module: nn.Module) -> nn.Module:
    """The module in float16, as it is shipped."""
    return module.to(torch.float16)
