"""Tiny folders in the layout of diffusers, one for each family, weights drawn at random.

``BUILDERS[name]()`` is diffusers' own pipeline; ``folder(name, parent)`` writes it once and says where.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
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
PLACE = "TINY_MODELS"
"""the variable that says where folders are kept for all who copy them: the tests' processes"""


def build(name: str) -> Any:
    """The pipeline of a family, the same weights in every process."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pipeline = BUILDERS[name]()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def folder(name: str, parent: Path) -> Path:
    """The folder of a family under ``parent``, the caller's own, written at its first use."""
    found = parent / f"tiny-{name}"
    if not found.is_dir():
        if place := os.environ.get(PLACE):
            shutil.copytree(kept(name, Path(place)), found)
        else:
            build(name).save_pretrained(found)
    return found


def kept(name: str, place: Path) -> Path:
    """The folder of a family in the common place; the first process that needs it writes it."""
    found, aside = place / name, place / f"{name} {os.getpid()}"
    if not found.is_dir():
        build(name).save_pretrained(aside)
        try:
            aside.rename(found)
        except OSError:  # another process was first
            shutil.rmtree(aside)
    return found


def pipeline(folder: Path, **options: Any) -> Any:
    """diffusers' pipeline of a folder, of the class that the folder says."""
    said = json.loads((folder / "model_index.json").read_text())
    found = getattr(diffusers, said["_class_name"]).from_pretrained(folder, **options)
    found.set_progress_bar_config(disable=True)
    return found
