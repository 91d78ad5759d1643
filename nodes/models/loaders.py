"""How parts come to life: diffusers and transformers classes, tokenisers, plain configurations."""

from __future__ import annotations

import importlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from flowgen.errors import UserError
from flowgen.values.model import Loader, Part

from . import hub
from .files import read_json
from .running import ready
from .tiling import tile_by
from .weights import header

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
LIBRARIES = (
    "diffusers",
    "diffusers.pipelines.stable_audio",
    "diffusers.pipelines.audioldm2",
    "transformers",
    "flowgen_nodes",
)
"""Where a model's classes may come from: a folder's configuration never names other code."""


def class_of(config: dict[str, Any], kind: type) -> Any:
    """The class a configuration names under ``class`` as ``library:Class``. Raises UserError unless it is of a kind.

    What reads further names from a model's folder (AutoTokenizer, DiffusionPipeline) is of no kind that parts have.
    """
    library, _, name = str(config["class"]).partition(":")
    module = "flowgen_nodes.zoo.digits.nets" if library == "flowgen_nodes" else library
    found = getattr(importlib.import_module(module), name, None) if library in LIBRARIES else None
    if found is None:
        raise UserError(
            f"the model class '{name}' is not in {library}", hint="a newer version of the library may have it"
        )
    if not (isinstance(found, type) and issubclass(found, kind)):
        what = "network" if kind is torch.nn.Module else "tokeniser"
        raise UserError(f"'{name}' of {library} is no {what}'s class", hint="model_index.json names each part's class")
    refuse_code()
    return found


def refuse_code() -> None:
    """Let transformers refuse a model's own code, which configurations within one name too, not ask on the terminal."""
    from transformers import dynamic_module_utils

    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0


def settings(part: Part) -> dict[str, Any]:
    """A part's configuration without its class."""
    config: dict[str, Any] = json.loads(part.config)
    return {name: value for name, value in config.items() if name != "class"}


def quiet() -> None:
    """No progress bars and hints of the libraries among flowgen's own: loading is part of a task."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()


def blank(factory: Callable[[], Any], part: Part) -> Any:
    """A network as its configuration says, in the part's dtype from the start: abstract weights can't be converted."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(DTYPES[part.dtype])
    try:
        return factory().eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)


def check_shapes(module: torch.nn.Module, part: Part) -> None:
    """Compare the headers of weight files with a network. Names may differ where a library renames them in loading.

    Raises UserError where they are those of another network.
    """
    stored = header(part)
    tensors = itertools.chain(module.named_parameters(remove_duplicate=False), module.named_buffers())
    expected = {name: tuple(tensor.shape) for name, tensor in tensors}
    hint = f"are config.json and the weights in {part.folder} of one model?"
    if stored and not stored.keys() & expected.keys():
        raise UserError(f"the weights of the part '{part.name}' are those of another network", hint=hint)
    for name in stored.keys() & expected.keys():
        if stored[name] != expected[name]:
            said = f"'{name}' has shape {list(stored[name])}, its configuration says {list(expected[name])}"
            raise UserError(f"the weights of the part '{part.name}' don't fit: {said}", hint=hint)


def built(part: Part) -> Any:
    """A network of either library as its configuration says, on tensors without numbers."""
    found = class_of(json.loads(part.config), torch.nn.Module)
    if hasattr(found, "from_config"):
        return blank(lambda: found.from_config(settings(part)), part)
    return blank(lambda: found(found.config_class.from_dict(settings(part))), part)


class Files(Loader):
    """Parts whose files may be away."""

    def fetch(self, part: Part) -> None:
        """From the Hub."""
        hub.fetch(part)


class Pretrained(Files):
    """What the two libraries have in common."""

    def build(self, part: Part) -> Any:
        """From ``config.json``; weights in the folder are compared with it by their shapes."""
        module = built(part)
        check_shapes(module, part)
        if tile := part.numerics and json.loads(part.numerics).get("tile"):
            tile_by(module, tile)
        return module

    def load(self, part: Part, device: str) -> Any:
        """From ``*.safetensors``; from pickles, where the user allows them, without running their code."""
        quiet()
        found = class_of(json.loads(part.config), torch.nn.Module)
        safe = part.files[0].endswith(".safetensors")
        options = {"dtype": DTYPES[part.dtype], "use_safetensors": safe, "weights_only": True, "local_files_only": True}
        try:
            module = found.from_pretrained(part.folder, **options, **self.more(found, part))
        except (OSError, ValueError, UnpicklingError) as error:
            if safe:
                raise
            said = str(error).strip().partition("\n")[0]
            raise UserError(f"{part.folder}/{part.files[0]} holds more than weights: {said}") from None
        return ready(module, part, device)

    def more(self, found: Any, part: Part) -> dict[str, Any]:
        """What a class takes beside for reading a part."""
        return {}


class Diffusers(Pretrained):
    """A diffusers network: UNet2DConditionModel, AutoencoderKL, ..."""

    libraries = ("diffusers",)


class Transformers(Pretrained):
    """A transformers network: CLIPTextModel, CLIPModel, ..."""

    libraries = ("transformers",)

    def more(self, found: Any, part: Part) -> dict[str, Any]:
        """The configuration that the part was checked with, not the file's own."""
        return {"config": found.config_class.from_dict(settings(part)), "trust_remote_code": False}


class Tokenizer(Loader):
    """A transformers tokeniser; runs for real even while a graph is checked, where it has a vocabulary."""

    def build(self, part: Part) -> Any:
        """From the folder's files."""
        return Wordless(part) if part.lacking[0] else self.load(part, "cpu")

    def load(self, part: Part, device: str) -> Any:
        """From the folder's files."""
        from transformers import PreTrainedTokenizerBase

        quiet()
        found = class_of(json.loads(part.config), PreTrainedTokenizerBase)
        return found.from_pretrained(part.folder, local_files_only=True, trust_remote_code=False)


class Wordless:
    """In place of a tokeniser without a vocabulary, while a graph is checked: padded texts have the same shape."""

    bos_token_id = eos_token_id = pad_token_id = 0

    def __init__(self, part: Part) -> None:
        about = Path(part.folder) / "tokenizer_config.json"
        said = read_json(about) if about.is_file() else {}
        self.longest: int | None = said.get("model_max_length")
        self.part = part

    @property
    def model_max_length(self) -> int:
        """Tokens at most. Raises UserError where nothing says it."""
        if self.longest is None:
            raise UserError(self.part.lacking[0], hint=self.part.lacking[1])
        return self.longest

    def __call__(
        self, texts: str | list[str], padding: str = "", max_length: int | None = None, **options: Any
    ) -> dict[str, Any]:
        """Zeros where texts are padded, and else no words: nobody knows them."""
        if not padding:
            return {"input_ids": [[] for _ in texts] if isinstance(texts, list) else []}
        length = max_length or self.model_max_length
        return {"input_ids": [[0] * length for _ in texts], "attention_mask": [[1] * length for _ in texts]}


class Module(Files):
    """A plain torch module of this pack, with ``model.safetensors`` beside its ``config.json``."""

    def build(self, part: Part) -> Any:
        """From ``config.json``."""
        module = blank(class_of(json.loads(part.config), torch.nn.Module), part)
        check_shapes(module, part)
        return module

    def load(self, part: Part, device: str) -> Any:
        """From ``model.safetensors``."""
        from safetensors.torch import load_file

        module = class_of(json.loads(part.config), torch.nn.Module)()
        module.load_state_dict(load_file(f"{part.folder}/model.safetensors"))
        return ready(module.to(DTYPES[part.dtype]), part, device)


class Config(Loader):
    """A configuration that is used as such: a scheduler's, a latent space's."""

    def load(self, part: Part, device: str) -> Any:
        """The configuration as a mapping."""
        return settings(part)
