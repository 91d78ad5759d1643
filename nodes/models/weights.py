"""Weight files: which a part has, and what their headers say. Nothing is loaded."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from flowgen.errors import UserError
from flowgen.values import Part
from flowgen.values.model import canonical, pickles_allowed

from .files import LARGEST, mapping, read_json, regular
from .hub import Folder, distant_header, is_weight

PICKLES = (".bin", ".pt", ".pth", ".ckpt")
NOT_SHAPE = ("dtype", "torch_dtype", "transformers_version", "architectures", "name_or_path")
"""Entries of a network's configuration that change nothing it computes; the precision is the node's parameter."""
CONVERT = (
    'python -c "import torch; from safetensors.torch import save_file; '
    "s = torch.load(r'{old}', map_location='cpu', weights_only=True); s = s.get('state_dict', s); "
    "save_file({{k: v.clone() for k, v in s.items() if torch.is_tensor(v)}}, r'{new}', {{'format': 'pt'}})\""
)
"""a command that makes a safetensors file of a pickle"""


class Lacking(UserError):
    """Weights aren't there."""


def network(name: str, where: Folder, config: dict[str, Any], loader: str, dtype: str) -> Part:
    """A part with weights; its files are found and their headers checked. Raises UserError.

    Where they aren't there, the part can be checked, and is an error where a plan needs its identity.
    """
    shape = {key: value for key, value in config.items() if key not in NOT_SHAPE}
    try:
        files = weight_files(name, where)
    except Lacking as error:
        said = error.message, error.hint
        return Part(name, loader, str(where.path), canonical(shape), dtype=dtype, lacking=said)
    for file in files:
        if file.endswith(".safetensors") and file not in where.away:
            read_header(where.path / file)
    away = tuple((file, where.away[file]) for file in files if file in where.away)
    return Part(name, loader, str(where.path), canonical(shape), files, dtype, away=away)


def weight_files(name: str, where: Folder) -> tuple[str, ...]:
    """The files with a part's weights. Raises UserError where some are missing, or where they are pickles."""
    files = tuple(file for file in where.named(".safetensors") if is_weight(file))
    for index in where.named(".safetensors.index.json"):
        if is_weight(index.removesuffix(".index.json")):
            listed = read_json(where.path / index).get("weight_map")
            if not isinstance(listed, dict) or not all(isinstance(file, str) for file in listed.values()):
                raise UserError(f"{where.path / index} lists no weights", hint="download or copy it again")
            if lacking := sorted(set(listed.values()) - set(files)):
                raise Lacking(f"the part '{name}' lacks the weights {', '.join(lacking)}", hint=where.remedy)
    if files:
        return files
    if pickled := where.named(*PICKLES):
        allowed(where.path / pickled[0])
        return tuple(pickled)
    raise Lacking(f"the part '{name}' has no safetensors weights", hint=where.remedy)


def allowed(pickle: Path) -> None:
    """Raise UserError with the way to convert a pickle, unless the user allows pickles."""
    if pickles_allowed():
        return
    new = pickle.with_name({"pytorch_model.bin": "model.safetensors"}.get(pickle.name, f"{pickle.stem}.safetensors"))
    hint = f"convert it: {CONVERT.format(old=pickle, new=new)}\n  or give --allow-pickle"
    raise UserError(f"{pickle} is a pickle, which can run code when it is read", hint=hint)


def header(part: Part) -> dict[str, tuple[int, ...]]:
    """The tensors of a part's safetensors files and their shapes. Raises UserError."""
    found: dict[str, tuple[int, ...]] = {}
    for file in part.files:
        path = Path(part.folder) / file
        if file.endswith(".safetensors"):
            found |= distant_header(path) if part.away and not path.exists() else read_header(path)
    return found


def read_header(path: Path) -> dict[str, tuple[int, ...]]:
    """The tensors of a safetensors file and their shapes.

    Raises UserError unless the file is as long as its header says (a cut download is not).
    """
    size = regular(path).stat().st_size
    try:
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            if length > min(size, LARGEST):
                raise ValueError("the header is longer than the file" if length > size else "the header is too long")
            header = mapping(file.read(length))
        entries = {name: placed(name, entry) for name, entry in header.items() if name != "__metadata__"}
        expected = 8 + length + max((end for _, end in entries.values()), default=0)
    except (OSError, ValueError, struct.error) as error:
        raise UserError(f"{path} is not a safetensors file: {error}", hint="download or copy it again") from None
    if expected != size:
        raise UserError(f"{path} is damaged: {size} bytes, {expected} expected", hint="download or copy it again")
    return {name: shape for name, (shape, _) in entries.items()}


def placed(name: str, entry: Any) -> tuple[tuple[int, ...], int]:
    """The shape of a tensor by its entry in a header, and where it ends. Raises ValueError."""
    found: list[Any] = [entry.get("shape"), entry.get("data_offsets")] if isinstance(entry, dict) else []
    if not found or not all(isinstance(each, list) and all(type(n) is int for n in each) for each in found):
        raise ValueError(f"its header doesn't say where '{name}' is")
    shape, place = found
    if len(place) != 2 or not 0 <= place[0] <= place[1] or any(not 0 <= n < 2**48 for n in shape):
        raise ValueError(f"its header doesn't say where '{name}' is")
    return tuple(shape), place[1]
