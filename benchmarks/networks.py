"""The networks of zoo:digits by themselves: the scores of a plain script, and how long a row of each takes."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

KINDS = {
    "denoiser": "denoiser",
    "encoder.text": "texts",
    "decoder.vae": "decodes",
    "score.clip": "clip",
    "features": "features",
}
"""node types and what the table calls their rows"""


class Judges:
    """CLIP score and FID as a script computes them, with the networks themselves."""

    def __init__(self, rows: Counter[str]) -> None:
        import torch
        from flowgen_nodes.zoo.digits.nets import Classifier
        from safetensors.torch import load_file
        from transformers import CLIPModel, CLIPTokenizer

        from flowgen.node.registry import find_source

        place = {name: find_source(f"zoo:{name}", Path()).path for name in ("digits-clip", "digits-classifier")}
        self.clip = CLIPModel.from_pretrained(place["digits-clip"]).eval()
        self.tokenizer = CLIPTokenizer.from_pretrained(place["digits-clip"])
        self.classifier = Classifier().eval()
        self.classifier.load_state_dict(load_file(place["digits-classifier"] / "model.safetensors"))
        about = json.loads((place["digits-clip"] / "preprocessor_config.json").read_text())
        self.mean, self.std = (torch.tensor(about[name])[:, None, None] for name in ("image_mean", "image_std"))
        self.real = load_file(find_source("zoo:digits-test", Path()).path / "statistics.safetensors")
        self.rows = rows

    def judge(self, unit: Any, texts: list[str]) -> tuple[Any, Any]:
        """CLIP scores [B] and features [B, D] of pictures in 0..1."""
        import torch

        self.rows["clip"] += len(texts)
        self.rows["features"] += len(texts)
        with torch.no_grad():
            tokens = self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
            said = self.clip.text_projection(self.clip.text_model(**tokens).pooler_output)
            seen = self.clip.visual_projection(self.clip.vision_model((unit - self.mean) / self.std).pooler_output)
            cosine = torch.nn.functional.cosine_similarity(seen, said)
            return 100 * cosine.clamp(min=0), self.classifier(unit * 2 - 1)

    def fid(self, features: Any) -> float:
        """The Fréchet distance to the real pictures, in float64."""
        import numpy as np

        mine = features.double().numpy()
        centre, spread = mine.mean(0), np.cov(mine, rowvar=False)
        other = self.real["mean"].numpy().ravel()
        real = self.real["scatter"].numpy().reshape(len(other), -1) / (float(self.real["count"]) - 1)
        roots = np.sqrt(np.linalg.eigvals(spread @ real).real.clip(min=0)).sum()
        return float(((centre - other) ** 2).sum() + np.trace(spread + real) - 2 * roots)


def spent_in_networks(rows: dict[str, int], cost: dict[str, float]) -> float:
    """Seconds that the networks take for some rows."""
    return sum(count * cost[kind] for kind, count in rows.items())


def network_seconds(run: Any) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds a row of each network at the run's mean batch, kept up for some seconds; and the batches."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

    from flowgen.node.registry import find_source

    folder = find_source("zoo:digits", Path()).path
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").eval()
    vae = AutoencoderKL.from_pretrained(folder / "vae").eval()
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder").eval()
    judges = Judges(Counter())
    width, length = unet.config.cross_attention_dim, encoder.config.max_position_embeddings
    tokens = torch.ones(1, length, dtype=torch.long)
    pixels = torch.rand(1, 3, 32, 32)
    told = judges.tokenizer(["a red three"], padding="max_length", truncation=True, return_tensors="pt")["input_ids"]

    def clip(b: int) -> Any:
        judges.clip.text_model(told.expand(b, -1))
        return judges.clip.vision_model(pixels.expand(b, -1, -1, -1))

    call = {
        "denoiser": lambda b: unet(torch.randn(b, 4, 8, 8), torch.full((b,), 500), torch.randn(b, length, width)),
        "texts": lambda b: encoder(tokens.expand(b, -1)),
        "decodes": lambda b: vae.decode(torch.randn(b, 4, 8, 8)),
        "clip": clip,
        "features": lambda b: judges.classifier(pixels.expand(b, -1, -1, -1)),
    }
    cost, sizes = {}, {}
    calls = run.tally.calls()
    for kind, label in KINDS.items():
        count, rows = calls[kind]
        size = max(1, round(rows / count))
        cost[label] = sustained(call[label], size) / size
        sizes[label] = size
    sizes["gain"] = sustained(call["denoiser"], 2) / 2 / cost["denoiser"]
    return cost, sizes


@contextmanager
def timed_networks() -> Iterator[list[float]]:
    """A list that grows by the seconds of each call of a network that flowgen's tasks in this process have loaded."""
    import torch

    from flowgen.execute.task import pool

    spent: list[float] = []
    begun: list[float] = []  # of calls within each other, in the one thread that computes
    networks = [part for part in pool().held.values() if isinstance(part, torch.nn.Module)]
    each = [module for network in networks for module in (network, *network.children())]  # a VAE's halves are called

    def begin(*_: Any) -> None:
        begun.append(time.perf_counter())

    def end(*_: Any) -> None:
        started = begun.pop()
        if not begun:
            spent.append(time.perf_counter() - started)

    hooks = [module.register_forward_pre_hook(begin) for module in each]
    hooks += [module.register_forward_hook(end) for module in each]
    try:
        yield spent
    finally:
        for hook in hooks:
            hook.remove()


def sustained(call: Any, size: int, seconds: float = 2.0) -> float:
    """Seconds a call over some seconds of calls, as a run has them; the fastest is 5 to 12% shorter here."""
    import torch

    with torch.no_grad():
        call(size)
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            call(size)
            count += 1
        return (time.perf_counter() - started) / count
