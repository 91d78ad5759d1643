"""The folder of one network, as parts: CLIP, a ControlNet, a classifier, a network that reads pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowgen.errors import UserError, with_article
from flowgen.values.model import Part, canonical

from .configured import HERE, PROCESSOR, processor, tokenizer
from .files import read_json
from .hub import Folder
from .weights import network

VISION = {
    "clip_vision_model": ("image_encoder", "CLIPVisionModelWithProjection"),
    "dpt": ("depth_estimator", "DPTForDepthEstimation"),
}
"""Networks of transformers that are a model on their own, by their type: the part that each is, and its usual class."""
MODULE_CLASSES = {
    "DigitsClassifier": ("features", "flowgen_nodes:Classifier"),
    "DigitsNoisyClassifier": ("classifier", "flowgen_nodes:NoisyClassifier"),
}
"""By the name in a ``config.json`` under ``class``: the part that it is, and this pack's code for it."""
NETWORKS = dict.fromkeys(("ControlNetModel", "SD3ControlNetModel", "FluxControlNetModel"), "controlnet")
"""Networks of diffusers that are a model on their own, by their class: the part that each is."""


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
    said, hint = f"flowgen can't read the model in '{label}'", f"{where.path / 'config.json'} names no known class"
    if cls:
        said = f"'{label}' is {with_article(cls)}, one part of a diffusion model"
        hint = (
            "from: takes the folder with model_index.json; a part from elsewhere goes beside it, as parts: {unet: ...}"
        )
    raise UserError(said, hint=hint)


def absent_of_pipelines(label: str, parts: Mapping[str, Part]) -> dict[str, tuple[str, str]]:
    """What to say, and the way out, where a node asks one network for the parts of a diffusion model."""
    name = next(iter(parts))
    if name == "controlnet":
        said = f"'{label}' is a ControlNet, which leads the denoiser of another model"
        hint = "wire it into {type: control, model: $NODE, image: $PICTURE}, and that into the denoiser's 'control'"
    else:
        said, hint = f"'{label}' is no diffusion model", f"it is for nodes that read its part '{name}'"
    return dict.fromkeys(("family", "latent", "scheduler"), (said, hint))


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
