"""The node ``model``: where weights come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from flowgen.errors import UserError
from flowgen.node import Named, node
from flowgen.values import Model, Part

from .folder import Options, read_model
from .hub import NAME, Folder, find
from .ip_adapter import adapter
from .lora import update
from .running import Attention
from .single import check_file
from .tiling import Tile


@dataclass(frozen=True)
class Lora:
    """Low-rank weights and how much of them is added."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    from_: Annotated[Named, Field(alias="from")]
    scale: Annotated[float, Field(strict=True, allow_inf_nan=False)] = 1.0
    revision: str = ""


@dataclass(frozen=True)
class ImagePrompt:
    """An adapter of image prompts, which of a folder's files it is, and how much the denoiser heeds the picture."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    from_: Annotated[Named, Field(alias="from")]
    weights: str = ""
    scale: Annotated[float, Field(strict=True, allow_inf_nan=False)] = 1.0
    revision: str = ""


@node("model")
def model(
    from_: Named,
    revision: str = "",
    dtype: Literal["float32", "float16", "bfloat16"] = "float32",
    config: Named | None = None,
    parts: dict[str, Named] | None = None,
    scheduler: dict[str, Any] | None = None,
    lora: list[Lora] | None = None,
    ip_adapter: list[ImagePrompt] | None = None,
    attention: Attention = "default",
    compile: bool = False,
    device: str = "",
    offload: Literal["none", "model"] = "none",
    tile: Tile = "none",
) -> Model:
    """A model as a bundle of parts (unet, vae, text_encoder, tokenizer, scheduler, ...).

    Other nodes name it in their port ``model``, and only the parts that they read enter their keys. Nothing is loaded
    before a node that has to be computed asks for a part. docs/models.md has examples.

    from: "zoo:NAME" for a model that ships with flowgen; a folder in the layout of diffusers or transformers, or a
    checkpoint in a single file, with safetensors weights; or "org/name", a model of the Hugging Face Hub, where there
    is no such path.

    revision: branch, tag or commit of a model of the Hub; a run's provenance has the commit.

    dtype: precision of the networks.

    config: for a single file, the folder or model of the Hub in diffusers' layout that has its configurations.

    parts: networks from elsewhere, {vae: FOLDER}: a model's folder, a network's own, a single file, or of the Hub.

    scheduler: entries of the scheduler's configuration that are to be otherwise, {timestep_spacing: trailing}.

    lora: low-rank updates, [{from: FILE, scale: 0.8}]; those at scale 0 are left out.

    ip_adapter: adapters of image prompts, [{from: FOLDER, weights: FILE, scale: 0.6}].

    attention: the kernel of torch's scaled dot-product attention in the network that predicts; compile: run that
    network through torch.compile. Both change how results round, so they are part of the keys of what it computes.

    device: where this model runs, if not where the run does; offload: model keeps each network in main memory and moves
    it to the device only while it is used. Neither changes a key, except the device in strict numerics.

    tile: the autoencoder decodes and encodes larger pictures in overlapping tiles of so many pixels a side, which takes
    less memory; "model" is what the autoencoder takes for itself. It changes results, and is in the keys of what the
    autoencoder computes.
    """
    numerics: dict[str, Any] = {} if attention == "default" else {"attention": attention}
    numerics |= {"compile": True} if compile else {}
    others = {name: place(source, "") for name, source in (parts or {}).items()}
    updates = tuple(low_rank(each) for each in lora or () if each.scale)
    adapters = tuple(image_prompt(each) for each in ip_adapter or ())
    where, file = place(from_, revision), None
    if where.path.is_file():
        check_file(where.path, config is not None)
        file = where.path
        where = place(config, "") if config else where
    elif config:
        raise UserError(
            f"'{from_.text}' is a folder, which has configurations", hint="leave 'config' out", about="config"
        )
    options = Options(
        dtype, others, scheduler or {}, file, updates, adapters, numerics, device, offload == "model", tile
    )
    return read_model(where, from_.text, options)


def place(source: Named, revision: str, weights: str = "") -> Folder:
    """A folder or file, else a repository of the Hub. Raises UserError."""
    if not source.path.exists():
        if not NAME.fullmatch(source.text):
            hint = f"looked at {source.path}"
            if not source.text.startswith((".", "/", "~")):
                hint += "; a model of the Hub is called org/name"
            raise UserError(f"there is no file or folder '{source.text}'", hint=hint)
        return find(source.text, revision, weights)
    if revision:
        raise UserError(
            f"'{source.text}' is a path, and only models of the Hub have revisions",
            hint="leave it out",
            about="revision",
        )
    return Folder(source.path)


def low_rank(said: Lora) -> Part:
    """A low-rank update as a part. Raises UserError."""
    return update(place(said.from_, said.revision), said.from_.text, said.scale)


def image_prompt(said: ImagePrompt) -> Part:
    """An adapter as a part. Raises UserError."""
    return adapter(place(said.from_, said.revision, said.weights), said.weights, said.from_.text, said.scale)
