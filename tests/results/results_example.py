"""Material for tests of results: a reader that holds records in memory, and the first example's outputs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import networkx as nx
import numpy as np
import torch

from flowgen.language.axes import Axis
from flowgen.results.columns import Column
from flowgen.values import Image, Record, Score

COLOURS = {"red": (1, -1, -1), "green": (-1, 1, -1), "blue": (-1, -1, 1), "yellow": (1, 1, -1)}
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LABELS = {"colour": tuple(COLOURS), "digit": DIGITS, "guidance": (1, 2, 4), "seed": tuple(range(8))}


def axis(name: str, labels: Sequence) -> Axis:
    return Axis(name, tuple(labels), tuple({name: label} for label in labels))


class Memory:
    """Records by key and output, read as the store would: groups of equal signature, in an order of its own."""

    def __init__(self):
        self.items: dict[tuple[str, str], Record] = {}
        self.largest = 0

    def put(self, batch: Record, output: str) -> list[str]:
        keys = [f"{len(self.items) + n:040x}" for n in range(len(batch))]
        for n, key in enumerate(keys):
            self.items[key, output] = batch.take([n])
        return keys

    def column(self, name: str, axes: dict[str, Axis], batches: list[Record], output: str = "value") -> Column:
        keys = [key for batch in batches for key in self.put(batch, output)]
        shape = tuple(len(axis) for axis in axes.values())
        return Column(name, tuple(axes), np.array(keys, dtype="S40").reshape(shape), output)

    def read(self, keys, output):
        assert len(set(keys)) == len(keys)
        self.largest = max(self.largest, len(keys))
        groups: dict[str, list[int]] = {}
        for position, key in reversed(list(enumerate(keys))):
            groups.setdefault(repr(self.items[key, output].signature()), []).append(position)
        return [(at, Record.concat([self.items[keys[n], output] for n in at])) for at in groups.values()]


def digit_pictures(size: int = 32) -> torch.Tensor:
    """Pictures [4 * 10 * 3 * 8, 3, size, size]: as many dots as the digit, in the colour, noisier at low guidance."""
    y, x = np.mgrid[0:size, 0:size] / size
    made = []
    for colour, digit, guidance, seed in itertools.product(COLOURS, range(10), (1, 2, 4), range(8)):
        random = np.random.default_rng([digit, seed])
        ink = np.zeros((size, size))
        for cx, cy in random.uniform(0.15, 0.85, (digit, 2)):
            ink = np.maximum(ink, np.exp(-((x - cx) ** 2 + (y - cy) ** 2) * 150))
        paint = np.array(COLOURS[colour])[:, None, None]
        made.append(-1 + ink * (paint + 1) + random.normal(size=(3, size, size)) * 0.3 / guidance)
    return torch.tensor(np.array(made), dtype=torch.float32)


def example(size: int = 32):
    """Axes, columns and reader of graphs/01_text_to_image.yaml."""
    axes = {name: axis(name, labels) for name, labels in LABELS.items()}
    memory, ones = Memory(), torch.ones(960, dtype=torch.long)
    random = np.random.default_rng(0)
    clips = 0.2 + 0.03 * np.log2(np.array([1, 2, 4])).reshape(3, 1) + random.normal(size=(4, 10, 3, 8)) * 0.02
    clip = Score(torch.tensor(clips.ravel(), dtype=torch.float32), ones, "CLIP score")
    fid = Score(torch.tensor([31.41592, 12.5, 18.25], dtype=torch.float64), torch.tensor([320] * 3), "FID")
    guidance = {"guidance": axes["guidance"]}
    columns = [
        memory.column("image", axes, [Image(digit_pictures(size))], "image"),
        memory.column("clip", axes, [clip], "score"),
        memory.column("fid", guidance, [fid], "score"),
    ]
    return axes, columns, memory


def example_graph() -> nx.DiGraph:
    """The nodes and wires of graphs/01_text_to_image.yaml."""
    graph: nx.DiGraph = nx.DiGraph()
    kinds = {
        "digits": "model",
        "judge": "model",
        "eye": "model",
        "text": "encoder.text",
        "empty": "encoder.text",
        "noise": "noise",
        "sampler": "scheduler.ddim",
        "cond": "denoiser",
        "uncond": "denoiser",
        "guided": "guidance.cfg",
        "image": "decoder.vae",
        "clip": "score.clip",
        "features": "features",
        "real": "reference",
        "fid": "metric.fid",
    }
    for name, kind in kinds.items():
        loop = "sampler" if name in ("cond", "uncond", "guided") else None
        graph.add_node(name, type=kind, loop=loop, output=name in ("image", "clip", "fid"))
    wires = """noise sampler.start, guided sampler.prediction, digits sampler.model, sampler cond.x, text cond.context,
        digits cond.model, sampler uncond.x, empty uncond.context, digits uncond.model, cond guided.cond,
        uncond guided.uncond, sampler image.latent, digits image.model, image clip.image, judge clip.model,
        image features.image, eye features.model, eye real.model, features fid.features, real fid.reference,
        digits text.model, digits empty.model, digits noise.model"""
    for wire in wires.split(","):
        source, end = wire.split()
        target, port = end.split(".")
        graph.add_edge(source, target, port=port, feedback=source == "guided")
    return graph
