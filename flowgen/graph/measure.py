"""What the abstract run measures of node code: its work and its largest tensor."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


def attention(query: Tensor, key: Tensor, value: Tensor, *others: Any, **options: Any) -> int:
    """FLOPs of softmax(q kᵀ) v of [B, heads, L, D]. A causal mask saves nothing, as in torch's own formulas."""
    count, heads, length, width = query.shape
    return 2 * count * heads * length * key.shape[2] * (width + value.shape[3])


FORMULAS = {**flop_registry, torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention}
"""torch's formulas for convolutions, matrix products and attention, and one for a kernel that it leaves out"""


class Measure(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts FLOPs, 2 for each multiplication with addition, and notes the size of the largest tensor that occurs.

    The size is a measure of the memory that a batch takes. Work of one element at a time (norms, activations,
    softmax) isn't counted.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if formula := FORMULAS.get(func.overloadpacket):
            self.flops += int(formula(*args, **(kwargs or {}), out_val=result))
        for leaf in [result] if isinstance(result, Tensor) else tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.bytes = max(self.bytes, leaf.nbytes)
        return result

    def __enter__(self) -> Self:
        super().__enter__()  # type: ignore[no-untyped-call]
        return self
