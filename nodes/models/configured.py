"""Parts that are configurations and small files: tokenisers, image processors."""

from __future__ import annotations

from pathlib import Path

from flowgen.values.model import Part, canonical

from .files import LARGEST_VOCABULARY, read_json, regular
from .hub import SMALL, Folder

HERE = "flowgen_nodes.models.loaders"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "spiece.model",
    "added_tokens.json",
)
PROCESSOR = "preprocessor_config.json"
PREPARES = (
    "do_resize",
    "size",
    "resample",
    "do_center_crop",
    "crop_size",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
    "keep_aspect_ratio",
    "ensure_multiple_of",
)
VOCABULARIES = {"tokenizer.json", "vocab.json", "spiece.model"}
"""A tokeniser has one of these, or no words."""


def is_processor(cls: str) -> bool:
    """Whether a class prepares pictures for CLIP, or for what estimates depth."""
    return cls.startswith(("CLIP", "DPT")) and ("ImageProcessor" in cls or "FeatureExtractor" in cls)


def processor(name: str, folder: Path) -> Part:
    """How pictures are prepared for CLIP: the entries that decide it. Raises UserError."""
    about = read_json(folder / PROCESSOR)
    return Part(name, f"{HERE}:Config", str(folder), canonical({k: about[k] for k in PREPARES if k in about}))


def tokenizer(name: str, where: Folder, cls: str) -> Part:
    """A tokeniser, identified by its files. Raises UserError for those that can't be read."""
    for file in where.named(*SMALL):
        if (where.path / file).exists():
            regular(where.path / file, LARGEST_VOCABULARY)
    files = tuple(file for file in TOKENIZER_FILES if (where.path / file).is_file())
    config = canonical({"class": f"transformers:{cls.removesuffix('Fast')}"})
    said = ("", "") if set(files) & VOCABULARIES else (f"the part '{name}' has no vocabulary", where.remedy)
    return Part(name, f"{HERE}:Tokenizer", str(where.path), config, files, lacking=said)
