"""Parts of models on abstract tensors: built from configurations, measured, never loaded."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Self

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from flowgen.values.model import Part, loader_of


class AbstractParts:
    """Builds each distinct part once."""

    def __init__(self) -> None:
        self.built: dict[Part, Any] = {}
        self.known: dict[Hashable, Any] = {}
        """outcomes of nodes, and bytes of weights that they open, for others that are given the like"""
        self.opened: dict[str, int] = {}
        """bytes of weights of the parts that were opened since the caller emptied it"""

    def opener(self, mode: FakeTensorMode) -> Callable[[Part], Any]:
        """What ``model[part]`` does during the abstract run."""

        def open_part(part: Part) -> Any:
            if part not in self.built:
                self.built[part] = loader_of(part).build(part)
            module = self.built[part]
            if isinstance(module, torch.nn.Module):
                weights = [*module.parameters(), *module.buffers()]
                self.opened[part.name] = sum(weight.nbytes for weight in weights)
            return module

        return open_part


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the size of the largest tensor that any operation returns: a measure of the memory that a batch takes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.bytes = max(self.bytes, leaf.nbytes)
        return result

    def __enter__(self) -> Self:
        super().__enter__()  # type: ignore[no-untyped-call]
        return self
