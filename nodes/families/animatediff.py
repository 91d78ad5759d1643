"""AnimateDiff: Stable Diffusion 1 whose UNet has a motion module between its blocks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from flowgen.values.model import Loader, Part, canonical, loader_of

from .family import Config, Configs, Question
from .stable_diffusion import StableDiffusion

FRAMES = 16
"""of a video where nothing is said"""
NAMES = ("unet", "motion_adapter")


class AnimateDiff(StableDiffusion):
    """Guo et al. 2023, arXiv:2307.04725. Latents are [B, 4, F, H, W]; a text is one condition for all frames."""

    pipelines = ("AnimateDiffPipeline",)
    network = "motion_unet"
    makes = "videos"
    controlnet = ""
    adapts = False

    def made_parts(self, parts: Mapping[str, Part]) -> dict[str, Part]:
        """The network: the UNet and the motion module as one."""
        of = tuple(parts[name] for name in NAMES)
        config = canonical({part.name: json.loads(part.config) for part in of})
        loader = f"{MotionUNet.__module__}:{MotionUNet.__qualname__}"
        return {"motion_unet": Part("motion_unet", loader, of[0].folder, config, dtype=of[0].dtype, of=of)}

    def latent(self, configs: Configs) -> Config:
        """The UNet's, and a number of frames."""
        found = super().latent({**configs, "motion_unet": configs["unet"]})
        return {**found, "frames": FRAMES, "frame_factor": 1}

    def space(self, vae: Config) -> str:
        """Stable Diffusion's, frame by frame."""
        return super().space(vae) + ", frames"

    def predict(self, net: Any, asked: Question) -> Tensor:
        """Epsilon of all frames at once."""
        states = asked.states().repeat_interleave(asked.x.shape[2], dim=0)
        return net(asked.x, asked.time, encoder_hidden_states=states).sample

    def decode(self, vae: Any, latents: Tensor) -> Tensor:
        """Frame by frame."""
        frames = super().decode(vae, latents.transpose(1, 2).flatten(0, 1))
        return frames.reshape(len(latents), -1, *frames.shape[1:]).transpose(1, 2)


class MotionUNet(Loader):
    """A UNet and a motion module, from the folders of both."""

    libraries = ("diffusers",)

    def build(self, part: Part) -> Any:
        """From their configurations."""
        from diffusers import UNetMotionModel

        from ..models.loaders import blank

        unet, adapter = (loader_of(own).build(own) for own in part.of)
        told = SimpleNamespace(config=adapter.config, to=lambda **_: adapter)  # abstract weights can't be moved
        return blank(lambda: UNetMotionModel.from_unet2d(unet, told, load_weights=False), part)

    def load(self, part: Part, device: str) -> Any:
        """From their weights."""
        from diffusers import UNetMotionModel

        from ..models.running import ready

        unet, adapter = (loader_of(own).load(own, "cpu") for own in part.of)
        return ready(UNetMotionModel.from_unet2d(unet, adapter), part, device)
