"""What denoisers with image prompts (IP-Adapter) are told beside a text; Ye et al. 2023, arXiv:2308.06721."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from flowgen.errors import WiringError
from flowgen.values import Conditioning

from .kandinsky import EMBEDDING

if TYPE_CHECKING:
    from .family import Question


def image_prompts(given: Sequence[Conditioning], net: Any, label: str) -> tuple[Tensor, ...]:
    """For each adapter of a UNet, a picture's embedding [B, D] or its states [B, L, D].

    Raises WiringError unless there is one for each, of its kind and width.
    """
    layers = getattr(getattr(net, "encoder_hid_proj", None), "image_projection_layers", ())
    if len(given) != len(layers):
        hint = "one for each of the model's 'ip_adapter', of the unconditional denoiser too"
        said = f"should be {len(layers)}, not {len(given)}"
        raise WiringError(
            f"the number of image prompts for the denoiser of '{label}' {said}", hint=hint, about="image_prompt"
        )
    return tuple(image_prompt(*pair) for pair in zip(given, layers, strict=True))


def image_prompt(given: Conditioning, layer: Any) -> Tensor:
    """What one adapter reads of an embedded picture."""
    if given.space != EMBEDDING:
        raise WiringError(
            f"an image prompt comes from encoder.image, it isn't of the kind '{given.space}'", about="image_prompt"
        )
    if hasattr(layer, "image_embeds"):
        found, width = given.pooled, layer.image_embeds.in_features
    else:
        first = layer.proj_in if hasattr(layer, "proj_in") else layer.ff.net[0].proj
        found, width = given.states, first.in_features
    if found is None:
        name, hint = ("embedding", "false") if hasattr(layer, "image_embeds") else ("states", "true")
        raise WiringError(
            f"an adapter reads the {name} of a picture", hint=f"encoder.image, states: {hint}", about="image_prompt"
        )
    if found.shape[-1] != width:
        hint = "embed the picture with the image encoder that the adapter comes with"
        raise WiringError(
            f"the image prompt has width {found.shape[-1]}, the adapter takes {width}", hint=hint, about="image_prompt"
        )
    return found


def image_embeds(asked: Question) -> dict[str, list[Tensor]]:
    """Image prompts as a UNet's ``added_cond_kwargs`` have them: one picture for each adapter."""
    return {"image_embeds": [each[:, None].to(asked.x.dtype) for each in asked.prompts]} if asked.prompts else {}
