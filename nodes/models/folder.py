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
from ..schedulers.schedule import check_timesteps
from .alone import absent_of_pipelines, plain_parts
from .configured import HERE, PROCESSOR, is_processor, processor, tokenizer
from .files import read_json
from .hub import Folder
from .ip_adapter import adapted
from .lora import updated
from .single import check_file, single
from .tiling import Tile, with_tiles
from .weights import network

LIBRARIES = {
    "diffusers": "diffusers",
    "transformers": "transformers",
    "stable_audio": "diffusers.pipelines.stable_audio",
    "audioldm2": "diffusers.pipelines.audioldm2",
}
"""Where networks come from, by what ``model_index.json`` calls the place; diffusers keeps some with their pipeline."""
UNREADABLE = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError)
"""what code raises that is given a text where it takes a number, or a list that is too short"""
Absent = dict[str, tuple[str, str]]
"""by part that isn't there, what to say where it is asked for, and the way out"""


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
    try:
        return made(where, label, options)
    except UNREADABLE as error:
        said = f"flowgen can't read the model in '{label}': its configurations don't say what they should ({error!r})"
        raise UserError(said, hint=f"looked at the JSON files in {where.path}") from error


def made(where: Folder, label: str, options: Options) -> Model:
    """The parts of a model, whatever its folder is. Raises UserError, and UNREADABLE for entries of a wrong kind."""
    folder = where.path
    network_name, absent = "", Absent()
    if (folder / "model_index.json").is_file():
        parts, network_name, absent = pipeline_parts(where, label, options)
    elif (folder / "config.json").is_file():
        parts = plain_parts(where, label, options.dtype)
        refuse(label, options)
        absent = absent_of_pipelines(label, parts)
    else:
        raise UserError(
            f"'{label}' holds no model",
            hint=f"expected model_index.json (diffusers) or config.json in {folder}: {where.remedy}"
            if where.origin
            else f"expected model_index.json (diffusers) or config.json in {folder}",
        )
    placed_parts = {name: placed(part, network_name, options) for name, part in parts.items()}
    return Model(placed_parts, label, where.origin, absent)


def refuse(label: str, options: Options) -> None:
    """Raise UserError for options that are for pipelines alone."""
    given: dict[str, object] = {"parts": options.parts, "scheduler": options.scheduler, "lora": options.updates}
    given |= {"ip_adapter": options.adapters}
    given |= {"config": options.checkpoint, "attention and compile": options.numerics}
    given |= {"tile": options.tile != "none"}
    for name, value in given.items():
        if value:
            raise UserError(
                f"'{label}' is no diffusion model, so it takes no '{name}'", hint="leave it out", about=name
            )


def placed(part: Part, network_name: str, options: Options) -> Part:
    """A part as the options say it runs."""
    if part.loader.endswith((":Tokenizer", ":Config")) or not (part.files or part.of):
        return part
    numerics = canonical(options.numerics) if options.numerics and part.name == network_name else part.numerics
    return replace(part, numerics=numerics, device=options.device, offload=options.offload)


def pipeline_parts(where: Folder, label: str, options: Options) -> tuple[dict[str, Part], str, Absent]:
    """Networks, tokenisers and schedulers of a diffusers folder, its family, and what its latents are like.

    Also the name of the network that predicts, and the parts that aren't there. Raises UserError.
    """
    parts: dict[str, Part] = {}
    index = read_json(where.path / "model_index.json")
    family = family_for(str(index.get("_class_name", "")), label)
    entries = listed(index)
    for name, (library, cls) in entries.items():
        inside = where.inside(name)
        if name in options.parts or not inside.path.is_dir():
            continue
        if "Tokenizer" in str(cls):
            parts[name] = tokenizer(name, inside, str(cls))
        elif "Scheduler" in str(cls):
            config = {**read_json(inside.path / "scheduler_config.json"), **family.schedule}
            check_timesteps(config, str(inside.path / "scheduler_config.json"))
            parts[name] = Part(name, f"{HERE}:Config", str(inside.path), canonical(config))
        elif is_processor(str(cls)) and (inside.path / PROCESSOR).is_file():
            parts[name] = processor(name, inside.path)
        elif library in LIBRARIES and (inside.path / "config.json").is_file():
            parts[name] = library_part(name, inside, (library, cls), options)
    parts |= {name: instead(name, other, entries, where, options) for name, other in options.parts.items()}
    absent = missing(label, where, entries, parts)
    for name in (family.network, family.autoencoder):
        if name in absent:
            raise UserError(absent[name][0], hint=absent[name][1])
    if options.scheduler:
        parts["scheduler"] = rescheduled(parts, str(entries.get("scheduler", ["", ""])[1]), options.scheduler)
    parts = updated(parts, family.network, str(index.get("_class_name", "")), options.updates)
    parts = adapted(parts, family.network, options.adapters, family.adapts)
    configs = Configurations({name: whole(json.loads(part.config)) for name, part in parts.items()})
    configs.absent, configs.index = absent, where.path / "model_index.json"
    if family.careful and options.dtype == "float16":
        overflowing = [name for name, config in configs.items() if config.get("force_upcast")]
        parts |= {name: replace(parts[name], dtype="float32") for name in overflowing}
    parts |= family.made_parts(parts)
    parts["family"] = family_part(family, index, configs, str(where.path))
    try:
        latent = family.latent(configs)
    except KeyError as absence:
        hint = f"{where.path / 'model_index.json'} names what there is; {where.remedy}"
        raise UserError(f"the model in '{label}' lacks {absence}, or what its configuration says", hint=hint) from None
    parts["latent"] = Part("latent", f"{HERE}:Config", str(where.path), canonical(latent))
    return with_tiles(parts, family.autoencoder, latent.get("factor", 1), options.tile), family.network, absent


def listed(index: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The parts that a ``model_index.json`` names: library and class of each, both null where it has none."""
    pairs = {name: entry for name, entry in index.items() if isinstance(entry, list) and len(entry) == 2}
    return {name: pair for name, pair in pairs.items()
            if not name.startswith("_") and all(each is None or isinstance(each, str) for each in pair)}  # fmt: skip


class Configurations(dict[str, Config]):
    """Configurations by part. One that a family asks for and that isn't there is a UserError."""

    absent: Absent
    index: Path

    def __missing__(self, name: str) -> Config:
        said = f"model_index.json names no part '{name}', which its pipeline has"
        said, hint = self.absent.get(name, (said, f'{self.index} says "{name}": [LIBRARY, CLASS] for a part'))
        raise UserError(said, hint=hint)


def missing(label: str, where: Folder, entries: Mapping[str, Any], parts: Mapping[str, Part]) -> Absent:
    """The parts that a ``model_index.json`` names and the folder lacks."""
    gone = [name for name, (library, cls) in entries.items() if cls and library in LIBRARIES and name not in parts]
    here = ", ".join(name for name in entries if name in parts) or "none"
    remedy = where.remedy if where.origin else f"copy the folder from where the model is from to {where.path}"
    hint = f"of the parts in model_index.json there are {here}; there aren't {', '.join(gone)}; {remedy}"
    return {name: (f"the model '{label}' lacks the part '{name}', which its model_index.json names", hint)
            for name in gone}  # fmt: skip


def whole(config: Config) -> Config:
    """A configuration of diffusers with what its class takes for granted: Stable Diffusion 1's VAE says no scale."""
    import diffusers

    library, _, cls = str(config.get("class", "")).partition(":")
    code = getattr(diffusers, cls, None) if library == "diffusers" else None
    said = inspect.signature(code).parameters.values() if isinstance(code, type) else ()
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
        raise UserError(
            f"the model has no network '{name}' to take from elsewhere", hint=did_you_mean(name, known), about="parts"
        )
    own = replace(options, checkpoint=None)
    if other.path.is_file():
        check_file(other.path, has_config=True)
        return library_part(name, where.inside(name), entries[name], replace(own, checkpoint=other.path))
    library, cls = entries[name]
    if (other.path / "model_index.json").is_file():
        library, cls = listed(read_json(other.path / "model_index.json")).get(name) or (library, cls)
        other = other.inside(name)
    elif (other.path / "config.json").is_file():
        cls = read_json(other.path / "config.json").get("_class_name", cls)
    if not (other.path / "config.json").is_file():
        raise UserError(
            f"there is no '{name}' in {other.path}", hint=f"expected config.json: {other.remedy}", about="parts"
        )
    return library_part(name, other, (library, cls), own)


def rescheduled(parts: Mapping[str, Part], cls: str, changes: Mapping[str, Any]) -> Part:
    """The scheduler with other entries in its configuration. Raises UserError for unknown ones."""
    import diffusers

    if "scheduler" not in parts:
        raise UserError("the model has no scheduler", hint="leave 'scheduler' out", about="scheduler")
    config = json.loads(parts["scheduler"].config)
    code = getattr(diffusers, cls, None)
    known = {*config, *(inspect.signature(code).parameters if isinstance(code, type) else ())}
    for name in changes:
        if name not in known:
            raise UserError(
                f"the configuration of {cls} has no entry '{name}'", hint=did_you_mean(name, known), about="scheduler"
            )
    config |= changes
    check_timesteps(config, "the scheduler", "scheduler")
    return replace(parts["scheduler"], config=canonical(config))
