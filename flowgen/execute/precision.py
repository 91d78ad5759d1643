"""How exactly torch computes while a task runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from flowgen.plan.numerics import Numerics

_ALONE = threading.Lock()


@contextmanager
def settings(numerics: Numerics, threads: int) -> Iterator[None]:
    """torch as the numerics say, with so many threads where they may be many (0 leaves them as they are), and as it was
    afterwards. One task of a process computes at a time.
    """
    with _ALONE, torch.no_grad(), precise(numerics):
        before, threads = torch.get_num_threads(), 1 if numerics.strict else threads
        try:
            if threads:
                torch.set_num_threads(threads)
            yield
        finally:
            torch.set_num_threads(before)


@contextmanager
def precise(numerics: Numerics) -> Iterator[None]:
    """torch as the numerics say, and as it was afterwards.

    A GPU's convolutions are no less exact than its products of matrices: cuDNN rounds float32 to 10 bits (TF32) if
    nobody says otherwise, and then another size of the batch, which takes other kernels, shows in a picture.
    """
    back, deterministic = restoring(), torch.are_deterministic_algorithms_enabled()
    try:
        torch.set_float32_matmul_precision(numerics.matmul)
        torch.backends.cudnn.allow_tf32 = numerics.matmul != "highest"
        if numerics.strict != deterministic:  # the first call imports torch's compiler, which takes a second
            torch.use_deterministic_algorithms(numerics.strict)
        yield
    finally:
        back()
        if numerics.strict != deterministic:
            torch.use_deterministic_algorithms(deterministic)


def restoring() -> Callable[[], None]:
    """What puts torch's precision back, by whichever of its two sets of names a program chose it."""
    cudnn: Any = torch.backends.cudnn  # its parts have no types
    parts = (torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn)
    newer = [part.fp32_precision for part in parts]
    try:
        matmul, tf32 = torch.get_float32_matmul_precision(), cudnn.allow_tf32
    except RuntimeError:  # the newer names, which say more than one word can

        def back() -> None:
            for part, value in zip(parts, newer, strict=True):
                part.fp32_precision = value

    else:

        def back() -> None:
            torch.set_float32_matmul_precision(matmul)
            cudnn.allow_tf32 = tf32

    return back
