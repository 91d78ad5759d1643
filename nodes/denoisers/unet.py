"""The node ``denoiser``."""

from __future__ import annotations

from typing import Annotated

from flowgen.errors import WiringError
from flowgen.node import Uses, node
from flowgen.values import Conditioning, Model, Noisy, Prediction

from ..schedulers.kinds import network_input, predicted


@node("denoiser", stored=False)
def denoise(x: Noisy, context: Conditioning, model: Annotated[Model, Uses("unet", "scheduler")]) -> Prediction:
    """One call of the UNet: what it predicts of x at x's own time, given the condition.

    The kind of prediction (epsilon, v, sample) is the one the model was trained for, from its scheduler's
    configuration. Items of a batch may be at different timesteps.
    """
    unet = model["unet"]
    if x.data.shape[1] != unet.config.in_channels:
        channels = f"{x.data.shape[1]} channels, the denoiser of '{model.label}' takes {unet.config.in_channels}"
        raise WiringError(f"the latent has {channels}")
    if context.states.shape[-1] != unet.config.cross_attention_dim:
        raise WiringError(
            f"the condition has width {context.states.shape[-1]}, the denoiser of '{model.label}' takes "
            f"{unet.config.cross_attention_dim}",
            hint="encode the text with the text encoder of the same model",
        )
    precision = next(unet.parameters()).dtype  # 'unet.dtype' walks through all of its modules
    kind = predicted(model["scheduler"])
    told = unet(network_input(x, kind).to(precision), x.time.timestep, encoder_hidden_states=context.states).sample
    return Prediction(told.to(x.data.dtype), x, kind)
