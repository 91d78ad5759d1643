"""Families whose denoisers are led by ControlNets, against diffusers' own pipelines."""

from __future__ import annotations

from typing import Any

from cases import SMALL, packed_pictures
from comparing import Both, Case, photo, pictures

PICTURE = """\
  photo: {type: image.load, file: photo0.png}
  control: {type: control, image: $photo, scale: 0.8, end: 0.66}
"""
LATENT = """\
  photo: {type: image.load, file: photo0.png}
  encoded: {type: encoder.vae, image: $photo}
  control: {type: control, latent: $encoded, scale: 0.8, end: 0.66}
"""
TOLD = {"controlnet_conditioning_scale": 0.8, "control_guidance_end": 0.67}
LEADING: dict[str, Any] = {"denoiser": ", control: [$control]", "note": "a ControlNet at 0.8, two steps of three"}


def unsampled(theirs: Any) -> Any:
    """With the mean of the control picture's latent: SD3's pipeline draws it without a seed."""

    def found(pipe: Any, options: dict[str, Any]) -> Both:
        encode = pipe.vae.encode

        def encoded(pictures: Any) -> Any:
            said = encode(pictures)
            said.latent_dist.sample = lambda generator=None: said.latent_dist.mode()
            return said

        pipe.vae.encode = encoded
        made: Both = theirs(pipe, options)
        return made

    return found


def sd3(name: str) -> Case:
    """Stable Diffusion 3 with a ControlNet."""
    told = {**TOLD, **SMALL, "control_image": [photo(0)] * 4}
    return Case(name, "scheduler.euler", more=LATENT, options=told, theirs=unsampled(pictures), **LEADING)


def flux(name: str, mode: str, **told: Any) -> Case:
    """Flux.1 dev with a ControlNet."""
    told = {**TOLD, **SMALL, **told, "guidance_scale": 5.5, "control_image": [photo(0)] * 4}
    leading = {**LEADING, "denoiser": ", guidance: 5.5, control: [$control]", "noise": ", width: 32, height: 32"}
    more, theirs = LATENT.replace("0.8", f"0.8{mode}"), unsampled(packed_pictures)
    return Case(name, "scheduler.euler", guidance=1.0, more=more, options=told, theirs=theirs, **leading)


UNETS = {**TOLD, "image": [photo(0)] * 4}
LED = [
    Case("sd1-control", more=PICTURE, options=UNETS, loading={"safety_checker": None}, **LEADING),
    Case("sdxl-control", "scheduler.euler", more=PICTURE, options=UNETS, **LEADING),
    *map(sd3, ("sd3-control", "sd3-control-own", "sd3.5-control")),
    flux("flux-control", ""),
    flux("flux-control-union", ", mode: 1", control_mode=1),
]
