"""``python -m flowgen_nodes.zoo.digits``: retrain every weight of zoo:digits from real handwriting.

Parts are kept in the work folder as they are finished, so a run that was stopped goes on with the next part. With
``--out`` the shipped folders are written from them and their qualities printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import data, evaluate, export, nets, parts
from .vocabulary import tokenizer

SEED = 20_261
PARTS = ("classifier", "judge", "clip", "vae", "unet", "noisy")

NEEDED_BY = {"clip": {"unet"}, "vae": {"unet", "noisy"}}


def kept(path: Path, blank: Callable[[], nn.Module], train: Callable[[], nn.Module]) -> Any:
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


def trained(work: Path, digits: data.Handwriting, wanted: Collection[str]) -> dict[str, Any]:
    """The wanted parts by name, and those they are trained from."""
    train, other = digits[data.TRAIN], digits[data.JUDGE]
    tokens = tokenizer()
    found: dict[str, Any] = {}

    def keep(part: str, blank: Callable[[], nn.Module], train: Callable[[], nn.Module]) -> None:
        if part in wanted or set(wanted) & NEEDED_BY.get(part, set()):
            found[part] = kept(work / f"{part}.pt", blank, train)

    keep("classifier", nets.Classifier, lambda: parts.classifier("classifier", train, 3000, SEED))
    keep("judge", nets.Classifier, lambda: parts.classifier("judge", other, 4000, SEED + 1))
    keep("clip", lambda: nets.clip(tokens), lambda: parts.clip(tokens, train, 3000, SEED))
    keep("vae", nets.autoencoder, lambda: parts.autoencoder(train, 3500, SEED))
    keep("unet", nets.denoiser, lambda: parts.denoiser(found["vae"], found["clip"], tokens, train, 9000, SEED))
    keep("noisy", nets.NoisyClassifier, lambda: parts.noisy_classifier(found["vae"], train, 2500, SEED))
    return found


def main() -> None:
    """Train what is missing, part by part; with ``--out``, ship it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--work", type=Path, default=Path("zoo-work"), help="finished parts and the downloaded digits")
    options.add_argument("--out", type=Path, default=None, help="where the shipped folders are written")
    options.add_argument("--only", nargs="*", choices=PARTS, default=None, help="train these parts alone")
    options.add_argument("--threads", type=int, default=0, help="torch threads (0: torch's choice)")
    chosen = options.parse_args()
    if chosen.out and chosen.only is not None:
        options.error("--out ships every part: leave --only out")
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    work: Path = chosen.work
    work.mkdir(parents=True, exist_ok=True)
    folder = data.fetch(work / "mnist")
    found = trained(work, data.load(folder, "train"), PARTS if chosen.only is None else chosen.only)
    if chosen.out:
        del found["judge"]
        export.export(export.Trained(**found), chosen.out)
        export.write_statistics(chosen.out, export.reference_pictures(data.load(folder, "t10k")))
        evaluate.report(work, chosen.out)


if __name__ == "__main__":
    main()
