"""Writes the shipped folders of zoo:digits: the layouts of diffusers and transformers, float16, safetensors only.

The same weights give the same bytes.
"""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from flowgen.values import Features, Moments

from ...metrics.features import identity
from ...metrics.moments import merge, moments
from ...models.files import read_json
from ...models.folder import read_model
from ...models.loaders import Module, quiet
from . import nets
from .captions import DIGITS, NAMES, Scene, default_ground
from .data import Handwriting, render
from .vocabulary import tokenizer

INKS = ("red", "green", "blue", "yellow")
"""Colours of the reference statistics."""
SEED = 20_268
PREPROCESSOR: dict[str, Any] = {
    "image_processor_type": "CLIPImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": 32},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 32, "width": 32},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "do_convert_rgb": True,
}
"""How digits-clip takes pictures: -1..1, 32 x 32; resample 3 is bicubic."""


@dataclass(frozen=True, slots=True)
class Trained:
    """The networks that are shipped."""

    clip: CLIPModel
    vae: AutoencoderKL
    unet: UNet2DConditionModel
    classifier: nets.Classifier
    noisy: nets.NoisyClassifier


def untrained() -> Trained:
    """Networks of the shipped shapes with weights from torch's global generator."""
    tokens = tokenizer()
    return Trained(nets.clip(tokens), nets.autoencoder(), nets.denoiser(), nets.Classifier(), nets.NoisyClassifier())


def export(trained: Trained, out: Path) -> None:
    """Write ``digits/``, ``digits-clip/`` and the classifiers' folders under ``out``; older ones are replaced."""
    quiet()
    tokens = tokenizer()
    write_pipeline(trained, tokens, emptied(out / "digits"))
    write_clip(trained.clip, tokens, emptied(out / "digits-clip"))
    write_classifier(trained.classifier, emptied(out / "digits-classifier"))
    write_classifier(trained.noisy, emptied(out / "digits-noisy-classifier"))
    readable(out)


def readable(out: Path) -> None:
    """Let everybody read the weights: safetensors writes files that only their owner can."""
    for path in out.rglob("*.safetensors"):
        path.chmod(0o644)


def emptied(folder: Path) -> Path:
    """The folder, made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def shipped(module: nn.Module) -> Any:
    """A float16 copy."""
    return nets.half(copy.deepcopy(module))


def write_pipeline(trained: Trained, tokens: CLIPTokenizer, folder: Path) -> None:
    """A Stable Diffusion in diffusers' layout; its text encoder is CLIP's text tower."""
    text = CLIPTextModel(trained.clip.config.text_config)
    text.load_state_dict(trained.clip.text_model.state_dict())
    pipeline = StableDiffusionPipeline(
        vae=shipped(trained.vae),
        text_encoder=shipped(text),
        tokenizer=tokens,
        unet=shipped(trained.unet),
        scheduler=nets.scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    run_in_float32(folder / "text_encoder")


def write_clip(clip: CLIPModel, tokens: CLIPTokenizer, folder: Path) -> None:
    """A CLIP in transformers' layout."""
    shipped(clip).save_pretrained(folder)
    run_in_float32(folder)
    tokens.save_pretrained(folder)
    write_json(folder / "preprocessor_config.json", PREPROCESSOR)


def run_in_float32(folder: Path) -> None:
    """Have transformers load these float16 weights as float32 unless told otherwise, as diffusers does with its own."""
    file = folder / "config.json"
    write_json(file, {**read_json(file), "dtype": "float32"})


def write_classifier(classifier: nets.Classifier | nets.NoisyClassifier, folder: Path) -> None:
    """A classifier whose configuration names its weights by digest: features of other weights never compare."""
    file = folder / "model.safetensors"
    save_file(shipped(classifier).state_dict(), file, metadata={"format": "pt"})
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    write_json(folder / "config.json", {"class": f"Digits{type(classifier).__name__}", "weights_sha256": digest})


def write_json(path: Path, about: dict[str, Any]) -> None:
    """A configuration, in the libraries' own style."""
    path.write_text(json.dumps(about, indent=2, sort_keys=True) + "\n", encoding="utf-8")


@torch.no_grad()
def write_statistics(out: Path, batches: Iterable[Tensor]) -> None:
    """Write ``digits-test/``: moments of the exported classifier's features of pictures [B, 3, 32, 32] in -1..1."""
    model = read_model(out / "digits-classifier", "zoo:digits-classifier")
    network = Module().load(model.part("features"), "cpu")
    extractor = identity(model)
    found: Moments = reduce(merge, (moments(Features(network(batch), extractor)) for batch in batches))
    tensors = {"count": found.count[0], "mean": found.mean[0], "scatter": found.scatter[0].contiguous()}
    save_file(tensors, emptied(out / "digits-test") / "statistics.safetensors", metadata={"extractor": extractor})
    readable(out)


def reference_pictures(test: Handwriting, size: int = 500) -> Iterator[Tensor]:
    """The pictures that ``zoo:digits-test`` stands for, in batches [B, 3, 32, 32] in -1..1.

    What "a COLOUR DIGIT" asks for, as graphs/01_text_to_image.yaml sweeps it: every digit equally often (as many of
    each as the rarest has), each in red, green, blue and yellow, on the ground that a caption leaves unnamed: black.
    """
    rng = np.random.default_rng(SEED)
    balanced = torch.cat([rows[: rarest(test)] for rows in rows_by_digit(test)])
    inks = [NAMES.index(name) for name in INKS]
    jobs = [(int(row), ink) for row in balanced for ink in inks]
    for begin in range(0, len(jobs), size):
        batch = jobs[begin : begin + size]
        rows = torch.tensor([row for row, _ in batch])
        labels = test.labels[rows].tolist()
        scenes = [Scene(label, ink, default_ground(ink)) for label, (_, ink) in zip(labels, batch, strict=True)]
        yield render(test.images[rows], scenes, rng)[0]


def rows_by_digit(digits: Handwriting) -> list[Tensor]:
    """Where each digit stands."""
    return [(digits.labels == digit).nonzero()[:, 0] for digit in range(len(DIGITS))]


def rarest(digits: Handwriting) -> int:
    """How often the rarest digit occurs."""
    return min(len(rows) for rows in rows_by_digit(digits))
