"""A finished run's folder, read back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xarray
from pydantic import BaseModel, Field, ValidationError

from flowgen.errors import UserError
from flowgen.language.labels import readable
from flowgen.results.dataset import NAME
from flowgen.results.failures import Failure
from flowgen.results.runs import FINISHED

SAID = 300
"""characters of what a reader says of damage"""


class Stage(BaseModel):
    """A node in a run's provenance."""

    computed: int
    """items"""


class About(BaseModel):
    """What is shown of a run's provenance."""

    finished: str
    """when, ISO 8601"""
    nodes: dict[str, Stage]
    failures: list[Failure]
    files: dict[str, list[str]] = Field(default_factory=dict)
    """of each output, relative to the folder"""


def told(folder: Path) -> About:
    """What a finished run tells of itself. Raises as ``reading`` knows."""
    return About.model_validate_json((folder / FINISHED).read_bytes())


def results(folder: Path) -> xarray.Dataset:
    """A finished run's results, read when they are needed."""
    found: xarray.Dataset = xarray.open_zarr(folder / NAME, chunks=None)
    return found


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Errors by a folder that isn't as its run left it are raised as UserError."""
    try:
        yield
    except UserError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:  # zarr's and its codecs' among them
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        hint = f"'flowgen run {folder / 'graph.yaml'}' makes another, of what is in the store"
        raise UserError(f"'{folder}' isn't as its run left it: {readable(first, SAID)}", hint=hint) from None
