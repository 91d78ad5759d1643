"""``python -m flowgen_nodes.zoo.digits``: retrain every weight of zoo:digits from real handwriting.

Parts are kept in the work folder as they are finished, so a run that was stopped goes on with the next part.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from . import data, nets, parts
from .vocabulary import tokenizer

SEED = 20_261


def kept(path: Path, blank: Callable[[], nn.Module], train: Callable[[], nn.Module]) -> nn.Module:
    """The trained module from the work folder, else train it and keep it there."""
    if path.exists():
        module = blank()
        module.load_state_dict(torch.load(path, weights_only=True))
    else:
        module = train()
        module = nets.half(module)
        torch.save(module.state_dict(), path)
    module = module.float()
    nets.freeze(module)
    return module


def main() -> None:
    """Train what is missing, part by part."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--work", type=Path, default=Path("zoo-work"), help="finished parts and the downloaded digits")
    options.add_argument("--out", type=Path, default=None, help="where the shipped folders are written")
    options.add_argument("--only", nargs="*", default=None, help="train these parts alone")
    options.add_argument("--threads", type=int, default=0, help="torch threads (0: torch's choice)")
    chosen = options.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    work: Path = chosen.work
    work.mkdir(parents=True, exist_ok=True)
    digits = data.load(data.fetch(work / "mnist"), "train")
    train, other = digits[data.TRAIN], digits[data.JUDGE]
    tokens = tokenizer()

    def wanted(part: str) -> bool:
        return chosen.only is None or part in chosen.only

    if wanted("classifier"):
        kept(work / "classifier.pt", nets.Classifier, lambda: parts.classifier("classifier", train, 3000, SEED))
    if wanted("judge"):
        kept(work / "judge.pt", nets.Classifier, lambda: parts.classifier("judge", other, 4000, SEED + 1))
    if wanted("clip") or wanted("unet"):
        clip = kept(work / "clip.pt", lambda: nets.clip(tokens), lambda: parts.clip(tokens, train, 3000, SEED))
    if wanted("vae") or wanted("unet"):
        vae = kept(work / "vae.pt", nets.autoencoder, lambda: parts.autoencoder(train, 3500, SEED))
    if wanted("unet"):
        kept(work / "unet.pt", nets.denoiser, lambda: parts.denoiser(vae, clip, tokens, train, 9000, SEED))


if __name__ == "__main__":
    main()
