"""Putting parts of a denoiser out of action for one call: identity and blurred attention, skipped layers."""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from flowgen.errors import WiringError, did_you_mean, with_article

How = Literal["none", "identity_attention", "blurred_attention", "skip_layers"]
Blur = float | Literal["infinite"]
LAYERS, BLUR = ("mid_block*",), "infinite"
"""where nothing is said"""
ONE_AT_A_TIME = threading.Lock()
"""hooks are on the network while it is called, and threads share networks"""
WHERE = "leave it out; in a sweep over 'perturb', make each way a case of the node, with what it takes"
"""what to do with a parameter that has no effect"""


class Perturbation(NamedTuple):
    """What is put out of action, and where."""

    how: How
    layers: tuple[str, ...]
    """names of modules, with * and ?"""
    blur: Blur
    """deviation of the Gaussian over attention's queries, in positions"""


def check_told(what: Perturbation) -> None:
    """Raise WiringError for parameters that have nothing to do with the perturbation."""
    if what.how == "none" and what.layers != LAYERS:
        raise WiringError("'layers' are those that 'perturb' puts out of action, and it says none", hint=WHERE)
    if what.how != "blurred_attention" and what.blur != BLUR:
        raise WiringError(f"'blur' is for 'perturb: blurred_attention', and it says {what.how}", hint=WHERE)


def perturbing(net: nn.Module, what: Perturbation) -> AbstractContextManager[None]:
    """The network so perturbed. Raises WiringError where no layer has such a name."""
    return nullcontext() if what.how == "none" else perturbed(net, what)


@contextmanager
def perturbed(net: nn.Module, what: Perturbation) -> Iterator[None]:
    """The network with some of its layers out of action."""
    blocks = [module for name, module in candidates(net).items() if matches(name, what.layers)]
    if not blocks:
        known = list(candidates(net))
        hint = did_you_mean(what.layers[0], known) if what.layers else f"there are {', '.join(known)}"
        raise WiringError(
            f"no layer of the network is called {' or '.join(what.layers) or 'so'}", hint=hint, about="layers perturb"
        )
    with ONE_AT_A_TIME, ExitStack() as stack:
        for block in blocks:
            for handle in hooks(block, what):
                stack.callback(handle.remove)
        yield


def candidates(net: nn.Module) -> dict[str, nn.Module]:
    """The transformer blocks of a network by name."""
    return {name: module for name, module in net.named_modules() if "TransformerBlock" in type(module).__name__}


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name is meant."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def hooks(block: nn.Module, what: Perturbation) -> list[Any]:
    """Put a block out of action; what takes it back."""
    if what.how == "skip_layers":
        return [block.register_forward_hook(skipped, with_kwargs=True)]
    change: Change = identity if what.how == "identity_attention" else lambda q, k, v: (blurred(q, what.blur), k, v)
    found = []
    for module in block.modules():
        if hasattr(module, "to_q") and not getattr(module, "is_cross_attention", False):
            mode = Attending(change)
            found.append(module.register_forward_pre_hook(lambda *_, mode=mode: mode.__enter__() and None))
            leave: Callable[..., None] = lambda *_, mode=mode: mode.__exit__(None, None, None)  # noqa: E731
            found.append(module.register_forward_hook(leave, always_call=True))
    return found


Change = Callable[[Tensor, Tensor, Tensor], "Tensor | tuple[Tensor, Tensor, Tensor]"]


class Attending(TorchFunctionMode):
    """Attention over one sequence, with other arguments or another result."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.change = change

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        given = [args[n] if n < len(args) else kwargs[name] for n, name in enumerate(("query", "key", "value"))]
        if given[0].shape != given[1].shape:
            return func(*args, **kwargs)  # over another sequence, a text
        changed = self.change(*given)
        if isinstance(changed, Tensor):
            return changed
        rest = {name: value for name, value in kwargs.items() if name not in ("query", "key", "value")}
        return func(*changed, *args[3:], **rest)


def identity(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Every position attends to itself alone; Ahn et al. 2024, arXiv:2403.17377, section 4.1."""
    return value


def blurred(query: Tensor, deviation: Blur) -> Tensor:
    """Queries [B, heads, H * W, D] blurred over the picture, which smooths the attention's energy; Hong 2024,
    arXiv:2408.00760, section 4.3. The picture is taken to be square. Infinitely blurred they are their mean.
    """
    if deviation == "infinite":
        return query.mean(dim=2, keepdim=True).expand_as(query)
    side = math.isqrt(query.shape[2])
    if side * side != query.shape[2]:
        raise WiringError(
            "blurred attention needs square latents", hint="or blur: infinite, which has no shape", about="blur perturb"
        )
    reach = min(max(1, math.ceil(3 * deviation)), side - 1)
    places = torch.arange(-reach, reach + 1, dtype=query.dtype, device=query.device)
    weights = torch.exp(-(places**2) / (2 * deviation**2))
    weights = weights / weights.sum()
    planes = query.transpose(2, 3).reshape(-1, 1, side, side)
    planes = F.pad(planes, (reach,) * 4, mode="reflect")
    planes = F.conv2d(F.conv2d(planes, weights.reshape(1, 1, 1, -1)), weights.reshape(1, 1, -1, 1))
    return planes.reshape(*query.shape[:2], query.shape[3], -1).transpose(2, 3)


def skipped(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    """What went in instead of what came out: of a block for a picture and a text, each in its place."""
    given = inspect.signature(block.forward).bind(*args, **kwargs).arguments
    picture, text = given["hidden_states"], given.get("encoder_hidden_states")
    if not isinstance(output, tuple):
        return picture

    def before(value: Tensor | None) -> Tensor | None:
        if value is None:
            return None
        if text is None or picture.shape == text.shape:
            raise WiringError(
                f"{with_article(type(block).__name__)} can't be skipped where picture and text are of one shape",
                about="layers perturb",
            )
        return picture if value.shape == picture.shape else text

    return tuple(map(before, output))
