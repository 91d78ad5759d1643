"""AnimateDiff: Stable Diffusion 1 whose UNet has a motion module between its blocks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from flowgen.values.model import Loader, Part, canonical

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

    def made_parts(self, parts: Mapping[str, Part]) -> dict[str, Part]:
        """The network: the UNet and the motion module as one."""
        config = canonical({name: json.loads(parts[name].config) for name in NAMES})
        folder = str(Path(parts["unet"].folder).parent)
        files = tuple(f"{name}/{file}" for name in NAMES for file in parts[name].files)
        loader = f"{MotionUNet.__module__}:{MotionUNet.__qualname__}"
        return {"motion_unet": Part("motion_unet", loader, folder, config, files, parts["unet"].dtype)}

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

        from ..models.loaders import Diffusers, blank

        unet, adapter = (Diffusers().build(own) for own in self.both(part))
        told = SimpleNamespace(config=adapter.config, to=lambda **_: adapter)  # abstract weights can't be moved
        return blank(lambda: UNetMotionModel.from_unet2d(unet, told, load_weights=False), part)

    def load(self, part: Part, device: str) -> Any:
        """From their weights."""
        from diffusers import UNetMotionModel

        from ..models.loaders import Diffusers, ready

        unet, adapter = (Diffusers().load(own, "cpu") for own in self.both(part))
        return ready(UNetMotionModel.from_unet2d(unet, adapter), device)

    def both(self, part: Part) -> list[Part]:
        """The UNet and the motion module as parts of their own."""
        found = []
        configs = json.loads(part.config)
        for name in NAMES:
            files = tuple(file.removeprefix(f"{name}/") for file in part.files if file.startswith(f"{name}/"))
            changes = {"name": name, "folder": f"{part.folder}/{name}", "config": canonical(configs[name])}
            found.append(replace(part, **changes, files=files))
        return found
