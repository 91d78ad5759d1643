"""``python -m flowgen_nodes.zoo.digits.evaluate``: how good the shipped models are, on pictures none was trained on.

Generated pictures are judged by a classifier of the same shape that was trained on other handwriting and isn't shipped.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from ...models.folder import read_model
from ...models.loaders import Module, quiet
from . import data, nets
from .captions import DIGITS, NAMES, Scene, default_ground
from .data import Batch, Handwriting, render, sample

SEED = 20_269
HEADS = ("digit", "ink", "ground")
PAIRS = [(digit, ink) for digit in range(len(DIGITS)) for ink in range(len(NAMES))]
SCALES = (1.0, 2.0, 4.0)


def plain_caption(digit: int, ink: int) -> str:
    """``a red three``."""
    colour = NAMES[ink]
    return f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {DIGITS[digit]}"


def right(model: nets.Classifier, images: Tensor, labels: dict[str, Tensor]) -> dict[str, Tensor]:
    """For each head, whether the model names pictures [B, 3, 32, 32] in -1..1 as labelled, [B] bool."""
    logits = model.logits(images)
    return {what: logits[what].argmax(1) == labels[what] for what in labels}


def shares(found: dict[str, Tensor]) -> str:
    """Each share in percent."""
    return "  ".join(f"{what} {100 * hits.double().mean():.1f}%" for what, hits in found.items())


def held_out(test: Handwriting, size: int = 500) -> Iterator[Batch]:
    """As many random scenes as there are test digits; 40% have another ground than their ink's default."""
    rng = np.random.default_rng(SEED)
    for _ in range(0, len(test), size):
        yield sample(test, size, rng)


def plain(test: Handwriting, size: int = 500) -> Iterator[Batch]:
    """Every test digit once, in a random ink on its default ground, with its plain caption."""
    rng = np.random.default_rng(SEED + 1)
    for begin in range(0, len(test), size):
        part = test[begin : begin + size]
        inks = rng.integers(len(NAMES), size=len(part)).tolist()
        labels = part.labels.tolist()
        scenes = [Scene(label, ink, default_ground(ink)) for label, ink in zip(labels, inks, strict=True)]
        images, masks = render(part.images, scenes, rng)
        yield Batch(images, masks, scenes, [plain_caption(s.digit, s.ink) for s in scenes])


def gathered(batches: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Hits of all batches by head."""
    return {what: torch.cat([batch[what] for batch in batches]) for what in batches[0]}


@torch.no_grad()
def recognition(model: nets.Classifier, test: Handwriting) -> dict[str, Tensor]:
    """Hits on real held-out pictures."""
    return gathered([right(model, b.images, {what: b.labels(what) for what in HEADS}) for b in held_out(test)])


@torch.no_grad()
def reconstruction(vae: AutoencoderKL, judge: nets.Classifier, test: Handwriting) -> tuple[dict[str, Tensor], float]:
    """The judge's hits on reconstructions of real held-out pictures, and the PSNR of all pixels together in dB."""
    hits, errors = [], []
    for batch in held_out(test):
        again = vae.decode(vae.encode(batch.images).latent_dist.mode()).sample.clamp(-1, 1)
        hits.append(right(judge, again, {what: batch.labels(what) for what in HEADS}))
        errors.append((((again - batch.images) / 2) ** 2).mean())
    return gathered(hits), -10 * torch.stack(errors).mean().log10().item()


@torch.no_grad()
def retrieval(clip: CLIPModel, tokens: CLIPTokenizer, pictures: Iterable[Batch]) -> dict[str, Tensor]:
    """Whether CLIP puts the right one of 90 plain captions first."""
    texts = tokens([plain_caption(*pair) for pair in PAIRS], padding="max_length", return_tensors="pt")
    hits = []
    for batch in pictures:
        first = torch.tensor(PAIRS)[clip(**texts, pixel_values=batch.images).logits_per_image.argmax(1)]
        digit, ink = first[:, 0] == batch.labels("digit"), first[:, 1] == batch.labels("ink")
        hits.append({"digit": digit, "colour": ink, "both": digit & ink})
    return gathered(hits)


@torch.no_grad()
def adherence(
    pipeline: StableDiffusionPipeline, judge: nets.Classifier, scale: float, steps: int = 25, seeds: int = 5
) -> dict[str, Tensor]:
    """The judge's hits on pictures of all 90 pairs; noise is the same at every scale."""
    texts = [plain_caption(*pair) for pair in PAIRS]
    labels = {"digit": torch.tensor([d for d, _ in PAIRS]), "ink": torch.tensor([i for _, i in PAIRS])}
    hits = []
    for seed in range(seeds):
        noise = [torch.Generator("cpu").manual_seed(seed * len(PAIRS) + n) for n in range(len(PAIRS))]
        images = pipeline(
            texts, guidance_scale=scale, num_inference_steps=steps, generator=noise, output_type="pt"
        ).images
        found = right(judge, images.float() * 2 - 1, labels)
        hits.append({"digit": found["digit"], "colour": found["ink"], "both": found["digit"] & found["ink"]})
    return gathered(hits)


def report(work: Path, weights: Path) -> None:
    """Print the qualities of exported models. ``work`` holds the judge and the downloaded digits."""
    test = data.load(data.fetch(work / "mnist"), "t10k")
    quiet()
    judge = nets.Classifier()
    judge.load_state_dict(torch.load(work / "judge.pt", weights_only=True))
    nets.freeze(judge)
    classifier = read_model(weights / "digits-classifier", "zoo:digits-classifier")
    eye = Module().load(classifier.part("features"), "cpu")
    print("judge on real pictures:       ", shares(recognition(judge, test)), flush=True)
    print("classifier on real pictures:  ", shares(recognition(eye, test)), flush=True)

    clip = CLIPModel.from_pretrained(weights / "digits-clip", dtype=torch.float32).eval()
    tokens = CLIPTokenizer.from_pretrained(weights / "digits-clip")
    print("CLIP, right one of 90:        ", shares(retrieval(clip, tokens, plain(test))), flush=True)
    print("CLIP, 40% on other grounds:   ", shares(retrieval(clip, tokens, held_out(test))), flush=True)

    pipeline = StableDiffusionPipeline.from_pretrained(weights / "digits", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    hits, psnr = reconstruction(pipeline.vae, judge, test)
    print("VAE reconstructions, judged:  ", shares(hits), f" PSNR {psnr:.1f} dB", flush=True)
    for scale in SCALES:
        print(f"generated at guidance {scale:g}, judged:", shares(adherence(pipeline, judge, scale)), flush=True)


def main() -> None:
    """Print the qualities."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--work", type=Path, default=Path("zoo-work"), help="the judge and the downloaded digits")
    options.add_argument("--weights", type=Path, default=Path("nodes/zoo/weights"), help="the exported folders")
    options.add_argument("--threads", type=int, default=0, help="torch threads (0: torch's choice)")
    chosen = options.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    report(chosen.work, chosen.weights)


if __name__ == "__main__":
    main()
