"""Models of the Hugging Face Hub: which commit, which of its files, and where they are on this machine."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from flowgen.errors import UserError
from flowgen.values import Part

from .files import regular

NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
SMALL = (".json", ".txt", ".model")
"""configurations and tokenisers, which a check reads"""
VARIANT = re.compile(r"\.(fp16|bf16|fp32|non_ema|ema)\b")
"""other precisions and averages of weights, beside those that a folder means"""


@dataclass(frozen=True)
class Folder:
    """A model's folder, some of whose files may not be here yet."""

    path: Path
    away: Mapping[str, str] = field(default_factory=dict)
    """by path within the folder, the sha256 of files that aren't here"""
    origin: str = ""
    """``org/name@commit``; empty for a folder of the user's own"""

    def inside(self, name: str) -> Folder:
        """A folder within."""
        prefix = f"{name}/"
        away = {path.removeprefix(prefix): digest for path, digest in self.away.items() if path.startswith(prefix)}
        return Folder(self.path / name, away, self.origin)

    def named(self, *suffixes: str) -> list[str]:
        """Its files that end so, here or away, sorted. Raises UserError where one is a device or a pipe."""
        paths = list(self.path.iterdir()) if self.path.is_dir() else []
        paths = [path for path in paths if path.name.endswith(suffixes) and path.exists() and not path.is_dir()]
        here = [regular(path).name for path in paths]
        return sorted({*here, *(name for name in self.away if "/" not in name and name.endswith(suffixes))})

    @property
    def remedy(self) -> str:
        """What to do where a file is missing."""
        if not self.origin:
            return f"looked in {self.path}"
        name, _, commit = self.origin.partition("@")
        return f"it isn't in the Hub's cache: fetch it with 'hf download {name} --revision {commit}'"


def is_weight(name: str) -> bool:
    """Whether a file holds the weights that a folder means."""
    return name.endswith(".safetensors") and not VARIANT.search(name)


def find(name: str, revision: str, weights: str = "") -> Folder:
    """A repository at a commit, its configurations and tokenisers fetched; weights aren't. Raises UserError.

    ``weights`` is a file that is wanted beside those that make a model.

    Without a connection, or in the Hub's offline mode (``HF_HUB_OFFLINE=1``), what its cache has.
    """
    from huggingface_hub import HfApi, constants, errors

    if not constants.HF_HUB_OFFLINE:
        try:
            info = HfApi().model_info(name, revision=revision or None, files_metadata=True)
            return fetched(info, revision or "main", weights)
        except errors.GatedRepoError:
            hint = f"ask for access at {constants.ENDPOINT}/{name}, then 'hf auth login'"
            raise UserError(f"the model '{name}' is gated", hint=hint) from None
        except errors.RevisionNotFoundError:
            raise UserError(f"the model '{name}' has no revision '{revision}'", hint=tags(name)) from None
        except errors.RepositoryNotFoundError:
            hint = f"it has no public model of this name at {constants.ENDPOINT}; a private one needs 'hf auth login'"
            raise UserError(f"there is no folder '{name}', and no model on the Hub", hint=hint) from None
        except no_answer():
            pass  # no connection: the cache may do
    return cached(name, revision)


def no_answer(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """What is raised where the Hub can't be reached or refuses: of the system, and of its client library."""
    from huggingface_hub import errors

    return OSError, errors.HTTPError, *others  # type: ignore[attr-defined]


def tags(name: str) -> str:
    """A hint at the branches and tags of a repository."""
    from huggingface_hub import HfApi

    try:
        refs = HfApi().list_repo_refs(name)
    except no_answer():
        return "take a branch, a tag or a commit"
    return "it has " + ", ".join(ref.name for ref in [*refs.branches, *refs.tags])


def fetched(info: Any, revision: str, weights: str = "") -> Folder:
    """The folder of a commit in the cache; small files are fetched, weights stay away."""
    name, commit = info.id, info.sha
    files = {entry.rfilename: entry for entry in info.siblings}
    folder = store(name) / "snapshots" / commit
    wanted, away = [*needed(files), *([weights] if weights in files else [])], {}
    for path in wanted:
        if (folder / path).exists():
            continue
        lfs = files[path].lfs
        if is_weight(path) and lfs is not None:
            away[path] = lfs.sha256
        else:
            download(name, commit, path)
    if revision != commit:  # so that it is found by this name without a connection
        reference = store(name) / "refs" / revision
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(commit)
    return Folder(folder, away, f"{name}@{commit}")


def needed(files: Iterable[str]) -> Iterable[str]:
    """Of a repository's files those that make the model: not other formats, precisions or copies in one file."""
    files = list(files)
    pipeline = "model_index.json" in files
    for path in files:
        depth = len(PurePosixPath(path).parts)
        if depth <= 2 and (path.endswith(SMALL) or (is_weight(path) and depth == (2 if pipeline else 1))):
            yield path


def cached(name: str, revision: str) -> Folder:
    """A repository as the cache has it. Raises UserError with the command that fetches it."""
    wanted = revision or "main"
    reference = store(name) / "refs" / wanted
    commit = reference.read_text().strip() if reference.is_file() else wanted
    folder = store(name) / "snapshots" / commit
    if not folder.is_dir():
        option = f" --revision {revision}" if revision else ""
        hint = f"with a connection, 'hf download {name}{option}' fetches it"
        raise UserError(
            f"there is no folder '{name}', and the Hub's cache has no such model while it can't be reached", hint=hint
        )
    return Folder(folder, {}, f"{name}@{commit}")


def store(name: str) -> Path:
    """Where the Hub's cache keeps a repository."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"


def download(name: str, commit: str, path: str) -> None:
    """Bring a file to the cache. Raises UserError."""
    from huggingface_hub import constants, hf_hub_download

    try:
        hf_hub_download(name, path, revision=commit, cache_dir=constants.HF_HUB_CACHE)
    except no_answer() as error:
        said = str(error).strip().partition("\n")[0]
        hint = f"try again, or 'hf download {name} {path} --revision {commit}'"
        raise UserError(f"can't fetch {path} of '{name}': {said}", hint=hint) from None


def fetch(part: Part) -> None:
    """Bring a part's files that are away. Raises UserError."""
    for file, _ in part.away:
        path = Path(part.folder) / file
        if not path.exists():
            download(*address(path))


def address(path: Path) -> tuple[str, str, str]:
    """Repository, commit and path of a file in the cache."""
    at = len(path.parts) - 1 - path.parts[::-1].index("snapshots")
    name = path.parts[at - 1].removeprefix("models--").replace("--", "/", 1)
    return name, path.parts[at + 1], "/".join(path.parts[at + 2 :])


@functools.lru_cache(maxsize=1024)
def distant_header(path: Path) -> dict[str, tuple[int, ...]]:
    """The tensors of a safetensors file that is away, and their shapes: its first bytes are read. Raises UserError."""
    from huggingface_hub import HfApi, errors

    name, commit, inside = address(path)
    try:
        found = HfApi().parse_safetensors_file_metadata(name, inside, revision=commit)
    except no_answer(errors.SafetensorsParsingError) as error:
        said = str(error).strip().partition("\n")[0]
        raise UserError(f"can't read the header of {inside} of '{name}': {said}", hint="try again") from None
    return {tensor: tuple(about.shape) for tensor, about in found.tensors.items()}
