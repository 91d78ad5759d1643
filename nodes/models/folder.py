"""A model folder as a bundle of parts, from its configurations alone."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from flowgen.errors import UserError
from flowgen.values.model import Model, Part, canonical

from ..families import family_for, family_part

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
LIBRARIES = {
    "diffusers": "diffusers",
    "transformers": "transformers",
    "stable_audio": "diffusers.pipelines.stable_audio",
}
"""Where networks come from, by what ``model_index.json`` calls the place; diffusers keeps some with their pipeline."""
NOT_SHAPE = ("dtype", "torch_dtype", "transformers_version", "architectures", "name_or_path")
"""Entries of a network's configuration that change nothing it computes; the precision is the node's parameter."""
MODULE_CLASSES = {
    "DigitsClassifier": ("features", "flowgen_nodes:Classifier"),
    "DigitsNoisyClassifier": ("classifier", "flowgen_nodes:NoisyClassifier"),
}
"""By the name in a ``config.json`` under ``class``: the part that it is, and this pack's code for it."""


def read_model(folder: Path, label: str, dtype: str) -> Model:
    """The parts of a diffusers pipeline folder, a CLIP folder or a classifier folder. Raises UserError."""
    if (folder / "model_index.json").is_file():
        return Model(pipeline_parts(folder, label, dtype), label)
    if (folder / "config.json").is_file():
        config = read_json(folder / "config.json")
        if config.get("model_type") == "clip":
            return Model(clip_parts(folder, config, dtype), label)
        if config.get("class") in MODULE_CLASSES:
            part, code = MODULE_CLASSES[config["class"]]
            return Model({part: network(part, folder, {**config, "class": code}, f"{HERE}:Module", dtype)}, label)
        raise UserError(
            f"flowgen can't read the model in '{label}'", hint=f"{folder / 'config.json'} names no known class"
        )
    raise UserError(
        f"'{label}' holds no model", hint=f"expected model_index.json (diffusers) or config.json in {folder}"
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file. Raises UserError."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"can't read {path}: {error}") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} is no configuration: it holds a {type(found).__name__}, not a mapping")
    return found


def pipeline_parts(folder: Path, label: str, dtype: str) -> dict[str, Part]:
    """Networks, tokenisers and schedulers of a diffusers folder, its family, and what its latents are like."""
    parts: dict[str, Part] = {}
    index = read_json(folder / "model_index.json")
    family = family_for(str(index.get("_class_name", "")), label)
    for name, entry in index.items():
        if name.startswith("_") or not isinstance(entry, list) or not (folder / name).is_dir():
            continue
        library, cls = entry
        if "Tokenizer" in str(cls):
            parts[name] = tokenizer(name, folder / name, str(cls))
        elif "Scheduler" in str(cls):
            config = read_json(folder / name / "scheduler_config.json")
            parts[name] = Part(name, f"{HERE}:Config", str(folder / name), canonical({**config, **family.schedule}))
        elif library in LIBRARIES and (folder / name / "config.json").is_file():
            config = {**read_json(folder / name / "config.json"), "class": f"{LIBRARIES[library]}:{cls}"}
            loader = "Transformers" if library == "transformers" else "Diffusers"
            overflows = family.careful and config.get("force_upcast") and dtype == "float16"
            precision = "float32" if overflows else dtype
            parts[name] = network(name, folder / name, config, f"{HERE}:{loader}", precision)
    configs = {name: json.loads(part.config) for name, part in parts.items()}
    parts |= family.made_parts(parts)
    parts["family"] = family_part(family, index, configs, str(folder))
    parts["latent"] = Part("latent", f"{HERE}:Config", str(folder), canonical(family.latent(configs)))
    return parts


def clip_parts(folder: Path, config: dict[str, Any], dtype: str) -> dict[str, Part]:
    """A CLIP folder: the model, its tokeniser, how images are prepared."""
    processor = folder / "preprocessor_config.json"
    about = read_json(processor) if processor.is_file() else {}
    if not about and (folder / "processor_config.json").is_file():
        about = read_json(folder / "processor_config.json").get("image_processor", {})
    kept: dict[str, Any] = {name: about[name] for name in ("image_mean", "image_std") if name in about}
    return {
        "clip": network("clip", folder, {**config, "class": "transformers:CLIPModel"}, f"{HERE}:Transformers", dtype),
        "tokenizer": tokenizer("tokenizer", folder, "CLIPTokenizer"),
        "image_processor": Part("image_processor", f"{HERE}:Config", str(folder), canonical(kept)),
    }


def network(name: str, folder: Path, config: dict[str, Any], loader: str, dtype: str) -> Part:
    """A part with weights; their files are found and their headers checked, nothing is loaded."""
    files = tuple(sorted(path.name for path in folder.glob("*.safetensors") if ".fp16." not in path.name))
    if not files:
        pickled = [p.name for pattern in ("*.bin", "*.pt", "*.ckpt") for p in folder.glob(pattern)]
        hint = f"{pickled[0]} is a pickle: convert it with safetensors" if pickled else f"looked in {folder}"
        raise UserError(f"the part '{name}' has no safetensors weights", hint=hint)
    for file in files:
        read_header(folder / file)
    shape = {key: value for key, value in config.items() if key not in NOT_SHAPE}
    return Part(name, loader, str(folder), canonical(shape), files, dtype)


def tokenizer(name: str, folder: Path, cls: str) -> Part:
    """A tokeniser, identified by its files."""
    files = tuple(file for file in TOKENIZER_FILES if (folder / file).is_file())
    cls = cls.removesuffix("Fast")
    return Part(name, f"{HERE}:Tokenizer", str(folder), canonical({"class": f"transformers:{cls}"}), files)


def read_header(path: Path) -> dict[str, tuple[int, ...]]:
    """The tensors of a safetensors file and their shapes.

    Raises UserError unless the file is as long as its header says (a cut download is not).
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            if length > min(size, 100_000_000):
                raise ValueError("the header is longer than the file")
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
    except (OSError, ValueError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a safetensors file: {error}", hint="download or copy it again") from None
    if expected != size:
        raise UserError(f"{path} is damaged: {size} bytes, {expected} expected", hint="download or copy it again")
    return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
