"""How a loaded network runs: on which device, with which attention kernels, compiled or not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves, tree_map_only

from flowgen.errors import UserError
from flowgen.values import Part
from flowgen.values.model import no_room, size_of

from .tiling import tile_by

Attention = Literal["default", "math", "flash", "efficient", "cudnn"]
KERNELS = {
    "math": SDPBackend.MATH,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
}
ENTRIES = ("forward", "encode", "decode", "get_text_features", "get_image_features")
"""what node code calls a network by"""
NO_KERNEL = ("No available kernel", "No viable backend")
"""what torch says, on a GPU and on a CPU, where the chosen kernel can't do it"""
Call = Callable[..., Any]


def ready(module: Any, part: Part, device: str) -> Any:
    """A network for inference: evaluation mode, no gradients, on its device, running as its part says."""
    module = module.eval().requires_grad_(False)
    how = json.loads(part.numerics) if part.numerics else {}
    if not part.offload:
        module.to(device)
    if "tile" in how:
        tile_by(module, how["tile"])
    if how.get("compile"):
        module.forward = torch.compile(module.forward)
    if how.get("attention"):
        wrap(module, lambda call: attending(call, how["attention"]))
    if part.offload or part.device:
        wrap(module, lambda call: travelling(call, module, part, device))
    return module


def precision(net: Any) -> torch.dtype:
    """The network's, but for modules that it keeps in float32. ``net.dtype`` walks through all of its modules."""
    kept = getattr(net, "_keep_in_fp32_modules", None) or ()
    return next(weight.dtype for name, weight in net.named_parameters() if not any(each in name for each in kept))


def wrap(module: nn.Module, around: Callable[[Call], Call]) -> None:
    """Put something around every way into a network."""
    for name in ENTRIES:
        if hasattr(module, name):
            setattr(module, name, around(getattr(module, name)))


def attending(call: Call, kernel: str) -> Call:
    """A call with one kernel for scaled dot-product attention. Raises UserError where it doesn't do."""

    def called(*args: Any, **kwargs: Any) -> Any:
        try:
            with sdpa_kernel(KERNELS[kernel]):
                return call(*args, **kwargs)
        except RuntimeError as error:
            if not any(said in str(error) for said in NO_KERNEL):
                raise
            hint = "it depends on the device, the dtype and the width of a head; attention: default takes what there is"
            raise UserError(f"the attention kernel '{kernel}' can't run this network here", hint=hint) from None

    return called


def travelling(call: Call, module: nn.Module, part: Part, device: str) -> Call:
    """A call of a network on another device than its caller's: arguments go there, results come back.

    A part that is offloaded goes there itself only for the call.
    """

    def called(*args: Any, **kwargs: Any) -> Any:
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        home = given[0].device if given else torch.device(device)
        try:
            if part.offload:
                bring(module, part, device)
            args, kwargs = tree_map_only(Tensor, lambda tensor: tensor.to(device), (args, kwargs))
            return returned(call(*args, **kwargs), home)
        finally:
            if part.offload:
                module.to("cpu")

    return called


def bring(module: nn.Module, part: Part, device: str) -> None:
    """Move a network to its device. Raises NoRoom."""
    try:
        module.to(device)
    except torch.OutOfMemoryError:
        raise no_room(part, device, size_of(module)) from None


def returned(found: Any, home: torch.device) -> Any:
    """What a network gave, its tensors on a device: outputs of the libraries are mappings or hold their fields."""
    if isinstance(found, Tensor):
        return found.to(home)
    if isinstance(found, dict):  # the libraries' outputs are ordered mappings
        for name, value in found.items():
            found[name] = returned(value, home)
        return found
    if isinstance(found, list | tuple):
        return type(found)(returned(value, home) for value in found)
    for name, value in vars(found).items() if hasattr(found, "__dict__") else ():
        setattr(found, name, returned(value, home))  # a distribution of latents
    return found
