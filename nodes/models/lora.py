"""Low-rank updates of networks (LoRA), added to their weights; Hu et al. 2021, arXiv:2106.09685."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from flowgen.errors import UserError, with_article
from flowgen.values import Part
from flowgen.values.model import Loader, canonical, loader_of

from . import hub
from .running import ready
from .weights import header

HERE = "flowgen_nodes.models.lora"
KOHYA = {
    "lora_te": "text_encoder",
    "lora_te1": "text_encoder",
    "lora_te2": "text_encoder_2",
    "lora_te3": "text_encoder_3",
}
"""the parts by the first word of a name in kohya's layout; ``lora_unet`` is the network that predicts"""
A, B = ".lora_A.weight", ".lora_B.weight"
LAYOUTS = "LoRA in the layouts of diffusers, peft or kohya"
OTHERS = ("dora_scale", "lora_magnitude", "lokr_", "hada_")
"""names in files of other kinds of updates"""


def update(where: hub.Folder, label: str, scale: float) -> Part:
    """A low-rank update from a safetensors file, or a folder or repository with one. Raises UserError."""
    folder, file = (where.path.parent, where.path.name) if where.path.is_file() else (where.path, "")
    files = [file] if file else where.named(".safetensors")
    if len(files) != 1 or not files[0].endswith(".safetensors"):
        said = ", ".join(files) or "none"
        raise UserError(f"'{label}' should be one safetensors file of low-rank weights: there are {said}", about="lora")
    away = tuple((name, where.away[name]) for name in files if name in where.away)
    part = Part("lora", f"{HERE}:Update", str(folder), canonical({"scale": scale}), (files[0],), away=away)
    names = header(part)
    if other := next((name for name in names if any(word in name for word in OTHERS)), None):
        raise UserError(f"'{label}' is another kind of update than LoRA: it has '{other}'", hint=LAYOUTS, about="lora")
    if not any("lora" in name for name in names):
        raise UserError(f"'{label}' has no low-rank weights", hint=LAYOUTS, about="lora")
    return part


def updated(parts: Mapping[str, Part], network: str, pipeline: str, updates: Sequence[Part]) -> dict[str, Part]:
    """The parts, those that updates are for with them. Raises UserError for an update of a part that isn't there."""
    of: dict[str, list[Part]] = {}
    for each in updates:
        told = replace(each, config=canonical({**json.loads(each.config), "pipeline": pipeline}))
        for name in {target(tensor, network, parts) for tensor in header(each)}:
            if name not in parts:
                hint = f"the model's networks are {', '.join(n for n, part in parts.items() if part.files)}"
                raise UserError(
                    f"{each.files[0]} changes the part '{name}', which the model lacks", hint=hint, about="lora"
                )
            of.setdefault(name, []).append(told)
    made = dict(parts)
    for name, own in of.items():
        base = parts[name]
        made[name] = Part(name, f"{HERE}:Updated", base.folder, base.config, dtype=base.dtype, of=(base, *own))
    return made


def target(name: str, network: str, parts: Mapping[str, Part]) -> str:
    """The part that a tensor of an update is for."""
    first = name.split(".")[0]
    if first.startswith("text_encoder") or first in parts:
        return first
    return KOHYA.get("_".join(first.split("_")[:2]), network)


class Update(Loader):
    """Low-rank weights as a file has them; ``Updated`` adds them to a network."""

    def fetch(self, part: Part) -> None:
        """From the Hub."""
        hub.fetch(part)


class Updated(Loader):
    """A network with low-rank updates: W + scale * alpha / rank * B A for each layer, added once, in float32."""

    libraries = ("diffusers",)

    def build(self, part: Part) -> Any:
        """The network as it is: an update changes no shape."""
        return loader_of(part.of[0]).build(part.of[0])

    def load(self, part: Part, device: str) -> Any:
        """The network and the updates from their files."""
        base, *updates = part.of
        module = loader_of(base).load(base, "cpu")
        for each in updates:
            add(module, part.name, each)
        return ready(module, part, device)


def add(module: nn.Module, name: str, part: Part) -> None:
    """Add an update to a network. Raises UserError where a layer isn't there or has another shape."""
    said = json.loads(part.config)
    layers = dict(module.named_modules())
    found = low_rank(Path(part.folder) / part.files[0], name, said["pipeline"], getattr(module, "config", None))
    for path, (down, up) in found.items():
        layer = layers.get(path) or layers.get(path.removeprefix("text_model."))
        weight = getattr(layer, "weight", None)
        delta = said["scale"] * torch.einsum("or,r...->o...", up.float().flatten(1), down.float())
        if weight is None or delta.numel() != weight.numel():
            hint = "is it for this kind of model?"
            raise UserError(
                f"{part.files[0]} doesn't fit the layer '{path}' of the part '{name}'", hint=hint, about="lora"
            )
        weight.copy_((weight.float() + delta.reshape(weight.shape)).to(weight.dtype))


def low_rank(file: Path, name: str, pipeline: str, config: Any) -> dict[str, tuple[Tensor, Tensor]]:
    """A and B of the layers of one part, by the layer's name; alpha / rank is in B.

    diffusers knows the layouts there are, which its pipelines read in their own way.
    """
    import diffusers
    from diffusers import utils

    reader = getattr(getattr(diffusers, pipeline), "lora_state_dict", None)
    if reader is None:
        raise UserError(
            f"diffusers reads no low-rank updates for {with_article(pipeline)}", hint="leave 'lora' out", about="lora"
        )
    more = {"unet_config": config} if name == "unet" else {}
    more |= {"return_alphas": True} if "return_alphas" in inspect.signature(reader).parameters else {}
    said = reader(str(file.parent), weight_name=file.name, use_safetensors=True, local_files_only=True,
                  return_lora_metadata=True, **more)  # fmt: skip
    state, *alphas, metadata = said
    for each in alphas:
        weigh(state, each or {})
    own = {key.removeprefix(f"{name}."): tensor for key, tensor in state.items() if key.startswith(f"{name}.")}
    if name.startswith("text_encoder"):
        own = utils.convert_state_dict_to_peft(utils.convert_state_dict_to_diffusers(own))
    elif not any("lora_A" in key for key in own):
        own = utils.convert_unet_state_dict_to_peft(own)
    layers = {key.removesuffix(A): (own[key], own[key.removesuffix(A) + B]) for key in own if key.endswith(A)}
    if not layers or len(own) != 2 * len(layers):
        other = next((key for key in own if not key.endswith((A, B))), "nothing")
        raise UserError(
            f"{file.name} has more than low-rank weights for the part '{name}': {other}", hint=LAYOUTS, about="lora"
        )
    return {path: (down, up * told(metadata, name, path, down.shape[0])) for path, (down, up) in layers.items()}


def weigh(state: dict[str, Tensor], alphas: Mapping[str, Any]) -> None:
    """Multiply each B by alpha / rank, where a file has alphas; they stand under the layer or under its A."""
    for key, alpha in alphas.items():
        base = key.removesuffix(".alpha")
        down = next(name for name in (base, f"{base}.lora.down.weight", f"{base}{A}") if name in state)
        up = down.replace(".down.", ".up.").replace("lora_A", "lora_B")
        state[up] = state[up] * (float(alpha) / state[down].shape[0])


def told(metadata: Mapping[str, Any] | None, name: str, path: str, rank: int) -> float:
    """What a file that peft wrote says of alpha / rank in its metadata; 1 where it says nothing."""
    about = {key.removeprefix(f"{name}."): value for key, value in (metadata or {}).items()}
    if about.get("use_rslora") or about.get("use_dora"):
        raise UserError("low-rank updates with rslora or dora aren't read", hint=LAYOUTS, about="lora")
    alpha = (about.get("alpha_pattern") or {}).get(path, about.get("lora_alpha"))
    return 1.0 if alpha is None else float(alpha) / rank
