"""Checkpoints in one file, in the layout of the code that trained them: diffusers' conversions, our configurations."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from flowgen.errors import UserError
from flowgen.values import Part
from flowgen.values.model import Loader, canonical

from .weights import NOT_SHAPE, PICKLES, allowed, read_header

HERE = "flowgen_nodes.models.single:Single"


def check_file(file: Path, has_config: bool) -> None:
    """Raise UserError unless a checkpoint can be read and there are configurations for it."""
    if file.suffix in PICKLES:
        allowed(file)
    elif file.suffix != ".safetensors":
        raise UserError(f"'{file.name}' is no checkpoint", hint="one in a single file ends in .safetensors")
    if not has_config:
        hint = "add config: a folder, or a model of the Hub, in diffusers' layout; its own weights aren't read"
        raise UserError(f"'{file.name}' has weights alone, no configurations", hint=hint + likely(file))


def single(name: str, file: Path, config: dict[str, Any], dtype: str) -> Part:
    """A network of a checkpoint; the file's whole content is its identity."""
    shape = {key: value for key, value in config.items() if key not in NOT_SHAPE}
    return Part(name, HERE, str(file.parent), canonical(shape), (file.name,), dtype)


def likely(file: Path) -> str:
    """The Hub's name of the model that a checkpoint looks like, as diffusers tells them apart."""
    from diffusers.loaders.single_file_utils import DIFFUSERS_DEFAULT_PIPELINE_PATHS, infer_diffusers_model_type

    if file.suffix in PICKLES:
        return ""
    tensors = {name: torch.empty(shape, device="meta") for name, shape in read_header(file).items()}
    found = DIFFUSERS_DEFAULT_PIPELINE_PATHS[infer_diffusers_model_type(tensors)]
    return f"; it looks like config: {found['pretrained_model_name_or_path']}"


class Single(Loader):
    """A network whose weights are among those of one file."""

    libraries = ("diffusers", "transformers")

    def build(self, part: Part) -> Any:
        """From its configuration."""
        from .loaders import built

        return built(part)

    def load(self, part: Part, device: str) -> Any:
        """From the file, tensors renamed as diffusers does it."""
        from diffusers.loaders.single_file import load_single_file_sub_model
        from diffusers.loaders.single_file_utils import load_single_file_checkpoint

        from .loaders import DTYPES, class_of, quiet, settings
        from .running import ready

        quiet()
        class_of(json.loads(part.config), torch.nn.Module)
        library, _, cls = str(json.loads(part.config)["class"]).partition(":")
        file = Path(part.folder) / part.files[0]
        with TemporaryDirectory() as folder:
            (Path(folder) / part.name).mkdir()
            (Path(folder) / part.name / "config.json").write_text(json.dumps(settings(part)), encoding="utf-8")
            try:
                module = load_single_file_sub_model(
                    library,
                    cls,
                    part.name,
                    load_single_file_checkpoint(str(file), local_files_only=True),
                    pipelines=None,
                    is_pipeline_module=False,
                    cached_model_config_path=folder,
                    local_files_only=True,
                    torch_dtype=DTYPES[part.dtype],
                )
            except (ValueError, KeyError, OSError, RuntimeError) as error:
                said = str(error).strip().partition("\n")[0]
                hint = "does 'config' name the configurations of this checkpoint?"
                raise UserError(f"the part '{part.name}' can't be made of {file}: {said}", hint=hint) from None
        if any(weight.is_meta for weight in module.parameters()):
            raise UserError(
                f"{file} lacks weights of the part '{part.name}'", hint=f"give it: parts: {{{part.name}: FOLDER}}"
            )
        return ready(module, part, device)
