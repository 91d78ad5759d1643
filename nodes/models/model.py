"""The node ``model``: where weights come from."""

from __future__ import annotations

from typing import Literal

from flowgen.node import Source, node
from flowgen.values import Model

from .folder import read_model


@node("model")
def model(from_: Source, dtype: Literal["float32", "float16", "bfloat16"] = "float32") -> Model:
    """A model as a bundle of parts (unet, vae, text_encoder, tokenizer, scheduler, ...).

    from: "zoo:NAME" for a model that ships with flowgen, or a folder in the layout of diffusers or transformers with
    safetensors weights. Other nodes name it in their port ``model``, and only the parts that they read enter their
    keys. Nothing is loaded before a node that has to be computed asks for a part.

    dtype: precision of the networks.
    """
    return read_model(from_.path, from_.text, dtype)
