"""Image prompts (IP-Adapter): attention to a picture's embedding, put into a UNet; Ye et al. 2023, arXiv:2308.06721."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flowgen.errors import UserError
from flowgen.values import Part
from flowgen.values.model import Loader, canonical, loader_of

from . import hub
from .loaders import DTYPES
from .running import ready
from .weights import header

HERE = "flowgen_nodes.models.ip_adapter"
FACES = ("perceiver_resampler.", "_lora.", "image_proj.norm.weight image_proj.proj.0.weight")
"""tensors that only adapters of faces have, which read what other networks find in a face"""


def adapter(where: hub.Folder, weights: str, label: str, scale: float) -> Part:
    """An adapter's safetensors file: ``where`` itself, or one in it. Raises UserError."""
    folder, file = (where.path.parent, where.path.name) if where.path.is_file() else (where.path, weights)
    files = [file] if file else where.named(".safetensors")
    if len(files) != 1:
        hint = f"say which: weights: {files[0]}" if files else f"expected a safetensors file; {where.remedy}"
        raise UserError(f"'{label}' has {len(files)} files that could be an adapter's", hint=hint, about="ip_adapter")
    (file,) = files
    if not file.endswith(".safetensors"):
        raise UserError(f"the adapter '{file}' is no safetensors file", about="ip_adapter")
    if not (folder / file).is_file() and file not in where.away:
        raise UserError(f"there is no file '{file}' in '{label}'", hint=where.remedy, about="ip_adapter")
    away = tuple((name, where.away[name]) for name in files if name in where.away)
    part = Part("ip_adapter", f"{HERE}:Adapter", str(folder), canonical({"scale": scale}), (file,), away=away)
    names = set(header(part))
    if not all(any(name.startswith(each) for name in names) for each in ("image_proj.", "ip_adapter.")):
        raise UserError(
            f"'{file}' is no IP-Adapter: it has no tensors 'image_proj.' and 'ip_adapter.'", about="ip_adapter"
        )
    if any(all(any(word in name for name in names) for word in each.split()) for each in FACES):
        raise UserError(f"'{file}' is an adapter of faces (FaceID), which isn't supported", about="ip_adapter")
    return part


def adapted(parts: Mapping[str, Part], network: str, adapters: Sequence[Part], fits: bool) -> dict[str, Part]:
    """The parts, the network that predicts with adapters. Raises UserError for a network that none is for."""
    if not adapters:
        return dict(parts)
    if not fits:
        raise UserError("this model takes no image prompts", hint="leave 'ip_adapter' out", about="ip_adapter")
    base = parts[network]
    made = Part(network, f"{HERE}:Adapted", base.folder, base.config, dtype=base.dtype, of=(base, *adapters))
    return {**parts, network: made}


class Adapter(Loader):
    """An adapter's weights as a file has them; ``Adapted`` puts them into a network."""

    def fetch(self, part: Part) -> None:
        """From the Hub."""
        hub.fetch(part)


class Adapted(Loader):
    """A UNet with image prompts, by diffusers' own code for the layouts that there are."""

    libraries = ("diffusers",)

    def build(self, part: Part) -> Any:
        """From the configuration and the headers of the adapters' files."""
        module = loader_of(part.of[0]).build(part.of[0])
        module.to = lambda **_: module  # abstract weights can't be converted, and are made in the part's dtype
        made = put(module, part, empty)
        del module.to
        return made

    def load(self, part: Part, device: str) -> Any:
        """The network and the adapters from their files."""
        return ready(put(loader_of(part.of[0]).load(part.of[0], "cpu"), part, loaded), part, device)


def empty(part: Part) -> dict[str, Tensor]:
    """An adapter's tensors without numbers."""
    return {name: torch.empty(shape) for name, shape in header(part).items()}


def loaded(part: Part) -> dict[str, Tensor]:
    """An adapter's tensors."""
    from safetensors.torch import load_file

    return load_file(Path(part.folder) / part.files[0])


def put(module: Any, part: Part, read: Callable[[Part], dict[str, Tensor]]) -> Any:
    """Put adapters into a network. Raises UserError where one doesn't fit."""
    adapters = part.of[1:]
    before = torch.get_default_dtype()
    torch.set_default_dtype(DTYPES[part.dtype])
    try:
        module._load_ip_adapter_weights([grouped(read(each)) for each in adapters], low_cpu_mem_usage=False)
    except (KeyError, RuntimeError) as error:
        names = " and ".join(each.files[0] for each in adapters)
        said = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"{names} doesn't fit the part '{part.name}': {said}", hint="is it for this model?") from None
    finally:
        torch.set_default_dtype(before)
    scales = [float(json.loads(each.config)["scale"]) for each in adapters]
    for processor in module.attn_processors.values():
        if hasattr(processor, "to_k_ip"):
            processor.scale = list(scales)
    return module.eval().requires_grad_(False)


def grouped(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors of the two groups that a file holds."""
    groups = ("image_proj", "ip_adapter")
    return {g: {n.removeprefix(f"{g}."): t for n, t in tensors.items() if n.startswith(f"{g}.")} for g in groups}
