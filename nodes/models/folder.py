"""A model folder as a bundle of parts, from its configurations alone."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flowgen.errors import UserError, did_you_mean
from flowgen.values.model import Model, Part, canonical

from ..families import Config, family_for, family_part
from .hub import Folder
from .ip_adapter import adapted
from .lora import updated
from .single import check_file, single
from .tiling import Tile, with_tiles
from .weights import network

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
VISION = {
    "clip_vision_model": ("image_encoder", "CLIPVisionModelWithProjection"),
    "dpt": ("depth_estimator", "DPTForDepthEstimation"),
}
"""Networks of transformers that are a model on their own, by their type: the part that each is, and its usual class."""
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
LIBRARIES = {
    "diffusers": "diffusers",
    "transformers": "transformers",
    "stable_audio": "diffusers.pipelines.stable_audio",
    "audioldm2": "diffusers.pipelines.audioldm2",
}
"""Where networks come from, by what ``model_index.json`` calls the place; diffusers keeps some with their pipeline."""
MODULE_CLASSES = {
    "DigitsClassifier": ("features", "flowgen_nodes:Classifier"),
    "DigitsNoisyClassifier": ("classifier", "flowgen_nodes:NoisyClassifier"),
}
"""By the name in a ``config.json`` under ``class``: the part that it is, and this pack's code for it."""


NETWORKS = dict.fromkeys(("ControlNetModel", "SD3ControlNetModel", "FluxControlNetModel"), "controlnet")
"""Networks of diffusers that are a model on their own, by their class: the part that each is."""


@dataclass(frozen=True)
class Options:
    """What a graph says of a model beside where it is."""

    dtype: str = "float32"
    parts: Mapping[str, Folder] = field(default_factory=dict)
    """folders, or single files, to take parts from"""
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    """entries of the scheduler's configuration that are to be otherwise"""
    checkpoint: Path | None = None
    """the single file that has the weights"""
    updates: tuple[Part, ...] = ()
    """low-rank updates of its networks"""
    adapters: tuple[Part, ...] = ()
    """image prompts of the network that predicts"""
    numerics: Mapping[str, Any] = field(default_factory=dict)
    """see ``running.ready``; of the network that predicts alone"""
    device: str = ""
    offload: bool = False
    tile: Tile = "none"
    """see ``tiling.with_tiles``"""


def read_model(where: Folder | Path, label: str, options: Options | None = None) -> Model:
    """The parts of a diffusers pipeline folder, a CLIP folder or a classifier folder. Raises UserError."""
    where, options = where if isinstance(where, Folder) else Folder(where), options or Options()
    folder = where.path
    network_name = ""
    if (folder / "model_index.json").is_file():
        parts, network_name = pipeline_parts(where, label, options)
    elif (folder / "config.json").is_file():
        parts = plain_parts(where, label, options.dtype)
        refuse(label, options)
    else:
        raise UserError(
            f"'{label}' holds no model",
            hint=f"expected model_index.json (diffusers) or config.json in {folder}: {where.remedy}"
            if where.origin
            else f"expected model_index.json (diffusers) or config.json in {folder}",
        )
    return Model({name: placed(part, network_name, options) for name, part in parts.items()}, label, where.origin)


def refuse(label: str, options: Options) -> None:
    """Raise UserError for options that are for pipelines alone."""
    given: dict[str, object] = {"parts": options.parts, "scheduler": options.scheduler, "lora": options.updates}
    given |= {"ip_adapter": options.adapters}
    given |= {"config": options.checkpoint, "attention and compile": options.numerics}
    given |= {"tile": options.tile != "none"}
    for name, value in given.items():
        if value:
            raise UserError(f"'{label}' is no diffusion model, so it takes no '{name}'", hint="leave it out")


def placed(part: Part, network_name: str, options: Options) -> Part:
    """A part as the options say it runs."""
    if part.loader.endswith((":Tokenizer", ":Config")) or not (part.files or part.of):
        return part
    numerics = canonical(options.numerics) if options.numerics and part.name == network_name else part.numerics
    return replace(part, numerics=numerics, device=options.device, offload=options.offload)


def plain_parts(where: Folder, label: str, dtype: str) -> dict[str, Part]:
    """The parts of a folder of one network. Raises UserError."""
    config = read_json(where.path / "config.json")
    if config.get("model_type") == "clip":
        return clip_parts(where, config, dtype)
    if (cls := config.get("_class_name")) in NETWORKS:
        name = NETWORKS[cls]
        return {name: network(name, where, {**config, "class": f"diffusers:{cls}"}, f"{HERE}:Diffusers", dtype)}
    if config.get("model_type") in VISION:
        return vision_parts(where, config, dtype)
    if config.get("class") in MODULE_CLASSES:
        name, code = MODULE_CLASSES[config["class"]]
        return {name: network(name, where, {**config, "class": code}, f"{HERE}:Module", dtype)}
    raise UserError(
        f"flowgen can't read the model in '{label}'", hint=f"{where.path / 'config.json'} names no known class"
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


def pipeline_parts(where: Folder, label: str, options: Options) -> tuple[dict[str, Part], str]:
    """Networks, tokenisers and schedulers of a diffusers folder, its family, and what its latents are like.

    Also the name of the network that predicts. Raises UserError.
    """
    parts: dict[str, Part] = {}
    index = read_json(where.path / "model_index.json")
    family = family_for(str(index.get("_class_name", "")), label)
    entries = {name: entry for name, entry in index.items() if isinstance(entry, list) and not name.startswith("_")}
    for name, (library, cls) in entries.items():
        inside = where.inside(name)
        if name in options.parts or not inside.path.is_dir():
            continue
        if "Tokenizer" in str(cls):
            parts[name] = tokenizer(name, inside, str(cls))
        elif "Scheduler" in str(cls):
            config = {**read_json(inside.path / "scheduler_config.json"), **family.schedule}
            parts[name] = Part(name, f"{HERE}:Config", str(inside.path), canonical(config))
        elif is_processor(str(cls)) and (inside.path / PROCESSOR).is_file():
            parts[name] = processor(name, inside.path)
        elif library in LIBRARIES and (inside.path / "config.json").is_file():
            parts[name] = library_part(name, inside, (library, cls), options)
    parts |= {name: instead(name, other, entries, where, options) for name, other in options.parts.items()}
    if options.scheduler:
        parts["scheduler"] = rescheduled(parts, str(entries.get("scheduler", ["", ""])[1]), options.scheduler)
    parts = updated(parts, family.network, str(index.get("_class_name", "")), options.updates)
    parts = adapted(parts, family.network, options.adapters, family.adapts)
    configs = {name: whole(json.loads(part.config)) for name, part in parts.items()}
    if family.careful and options.dtype == "float16":
        overflowing = [name for name, config in configs.items() if config.get("force_upcast")]
        parts |= {name: replace(parts[name], dtype="float32") for name in overflowing}
    parts |= family.made_parts(parts)
    parts["family"] = family_part(family, index, configs, str(where.path))
    try:
        latent = family.latent(configs)
    except KeyError as missing:
        hint = f"{where.path / 'model_index.json'} names what there is; {where.remedy}"
        raise UserError(f"the model in '{label}' lacks {missing}, or what its configuration says", hint=hint) from None
    parts["latent"] = Part("latent", f"{HERE}:Config", str(where.path), canonical(latent))
    return with_tiles(parts, family.autoencoder, latent.get("factor", 1), options.tile), family.network


def whole(config: Config) -> Config:
    """A configuration of diffusers with what its class takes for granted: Stable Diffusion 1's VAE says no scale."""
    import diffusers

    library, _, cls = str(config.get("class", "")).partition(":")
    code = getattr(diffusers, cls, None) if library == "diffusers" else None
    said = inspect.signature(code).parameters.values() if code else ()
    granted = {each.name: each.default for each in said if each.default is not each.empty}
    found: Config = json.loads(json.dumps({**granted, **config}))
    return found


def library_part(name: str, where: Folder, kind: tuple[str, str], options: Options) -> Part:
    """A network of diffusers or transformers, its weights in its folder or in the single file."""
    library, cls = kind
    config = {**read_json(where.path / "config.json"), "class": f"{LIBRARIES[library]}:{cls}"}
    if options.checkpoint is not None:
        return single(name, options.checkpoint, config, options.dtype)
    loader = "Transformers" if library == "transformers" else "Diffusers"
    return network(name, where, config, f"{HERE}:{loader}", options.dtype)


def instead(name: str, other: Folder, entries: Mapping[str, Any], where: Folder, options: Options) -> Part:
    """A part from another place: a single file, a folder of its own, or the part of that name of another model.

    Raises UserError.
    """
    if name not in entries or entries[name][0] not in LIBRARIES or "Tokenizer" in str(entries[name][1]):
        known = [n for n, (library, cls) in entries.items() if library in LIBRARIES and "Tokenizer" not in str(cls)]
        raise UserError(f"the model has no network '{name}' to take from elsewhere", hint=did_you_mean(name, known))
    own = replace(options, checkpoint=None)
    if other.path.is_file():
        check_file(other.path, has_config=True)
        return library_part(name, where.inside(name), entries[name], replace(own, checkpoint=other.path))
    library, cls = entries[name]
    if (other.path / "model_index.json").is_file():
        library, cls = read_json(other.path / "model_index.json").get(name) or (library, cls)
        other = other.inside(name)
    elif (other.path / "config.json").is_file():
        cls = read_json(other.path / "config.json").get("_class_name", cls)
    if not (other.path / "config.json").is_file():
        raise UserError(f"there is no '{name}' in {other.path}", hint=f"expected config.json: {other.remedy}")
    return library_part(name, other, (library, cls), own)


def rescheduled(parts: Mapping[str, Part], cls: str, changes: Mapping[str, Any]) -> Part:
    """The scheduler with other entries in its configuration. Raises UserError for unknown ones."""
    import diffusers

    if "scheduler" not in parts:
        raise UserError("the model has no scheduler", hint="leave 'scheduler' out")
    config = json.loads(parts["scheduler"].config)
    code = getattr(diffusers, cls, None)
    known = {*config, *(inspect.signature(code).parameters if code else ())}
    for name in changes:
        if name not in known:
            raise UserError(f"the configuration of {cls} has no entry '{name}'", hint=did_you_mean(name, known))
    return replace(parts["scheduler"], config=canonical({**config, **changes}))


def clip_parts(where: Folder, config: dict[str, Any], dtype: str) -> dict[str, Part]:
    """A CLIP folder: the model, its tokeniser, how images are prepared."""
    folder = where.path
    processor = folder / "preprocessor_config.json"
    about = read_json(processor) if processor.is_file() else {}
    if not about and (folder / "processor_config.json").is_file():
        about = read_json(folder / "processor_config.json").get("image_processor", {})
    kept: dict[str, Any] = {name: about[name] for name in ("image_mean", "image_std") if name in about}
    return {
        "clip": network("clip", where, {**config, "class": "transformers:CLIPModel"}, f"{HERE}:Transformers", dtype),
        "tokenizer": tokenizer("tokenizer", where, "CLIPTokenizer"),
        "image_processor": Part("image_processor", f"{HERE}:Config", str(folder), canonical(kept)),
    }


def vision_parts(where: Folder, config: dict[str, Any], dtype: str) -> dict[str, Part]:
    """A network that reads pictures, alone, and how they are prepared where the folder says it."""
    name, usual = VISION[config["model_type"]]
    (cls,) = config.get("architectures") or [usual]
    told = {**config, "class": f"transformers:{cls}"}
    found = {name: network(name, where, told, f"{HERE}:Transformers", dtype)}
    if (where.path / PROCESSOR).is_file():
        found["image_processor"] = processor("image_processor", where.path)
    return found


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
