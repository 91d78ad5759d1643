"""Tiny folders in the layout of diffusers, one for each family, weights drawn at random.

``BUILDERS[name]()`` is diffusers' own pipeline; ``folder(name, parent)`` writes it once and says where.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from . import beside, cascades, controls, images, moving, upscalers

BUILDERS: dict[str, Callable[[], Any]] = {
    **images.BUILDERS,
    **cascades.BUILDERS,
    **moving.BUILDERS,
    **controls.BUILDERS,
    **beside.BUILDERS,
    **upscalers.BUILDERS,
}


def build(name: str) -> Any:
    """The pipeline of a family, the same weights in every process."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pipeline = BUILDERS[name]()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def folder(name: str, parent: Path) -> Path:
    """The folder of a family under ``parent``, written at its first use."""
    found = parent / f"tiny-{name}"
    if not found.is_dir():
        build(name).save_pretrained(found)
    return found
