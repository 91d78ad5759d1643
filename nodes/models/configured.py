"""Parts that are configurations and small files: tokenisers, image processors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flowgen.errors import UserError, with_article
from flowgen.values.model import Part, canonical

from .hub import Folder

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
NAMES_OF_CODE = (
    "auto_map",
    "attn_implementation",
    "_attn_implementation",
    "experts_implementation",
    "_experts_implementation",
)
VOCABULARIES = {"tokenizer.json", "vocab.json", "spiece.model"}
"""A tokeniser has one of these, or no words."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file. Raises UserError."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"), object_hook=without_code)
    except (OSError, ValueError) as error:
        raise UserError(f"can't read {path}: {error}") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} is no configuration: it holds {with_article(type(found).__name__)}, not a mapping")
    return found


def without_code(entries: dict[str, Any]) -> dict[str, Any]:
    """An object of a configuration without the entries that name code of the model's own or of the Hub (kernels)."""
    return {name: value for name, value in entries.items() if name not in NAMES_OF_CODE}


def is_processor(cls: str) -> bool:
    """Whether a class prepares pictures for CLIP, or for what estimates depth."""
    return cls.startswith(("CLIP", "DPT")) and ("ImageProcessor" in cls or "FeatureExtractor" in cls)


def processor(name: str, folder: Path) -> Part:
    """How pictures are prepared for CLIP: the entries that decide it. Raises UserError."""
    about = read_json(folder / PROCESSOR)
    return Part(name, f"{HERE}:Config", str(folder), canonical({k: about[k] for k in PREPARES if k in about}))


def tokenizer(name: str, where: Folder, cls: str) -> Part:
    """A tokeniser, identified by its files."""
    files = tuple(file for file in TOKENIZER_FILES if (where.path / file).is_file())
    config = canonical({"class": f"transformers:{cls.removesuffix('Fast')}"})
    said = ("", "") if set(files) & VOCABULARIES else (f"the part '{name}' has no vocabulary", where.remedy)
    return Part(name, f"{HERE}:Tokenizer", str(where.path), config, files, lacking=said)
