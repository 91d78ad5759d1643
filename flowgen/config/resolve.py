"""Settings put together: command line, then environment, the project's file, the user's file, the default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowgen.config.files import project_file, read_project, read_user
from flowgen.config.kinds import KINDS, TRUST, understood


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and where it came from."""

    value: Any
    source: str
    """``--name``, a variable's name, ``file:line``, or ``default``"""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where and how to run."""

    found: Mapping[str, Setting]
    """by name, as ``flowgen config`` lists them"""

    @property
    def store(self) -> Path | str:
        """Where results are cached: a folder, or the URL of object storage."""
        value: Path | str = self.found["store"].value
        return value

    @property
    def runs(self) -> Path:
        """Where runs' folders are made."""
        return Path(self.found["runs"].value)

    @property
    def batch(self) -> int | None:
        """Items at once; None for the engine's choice."""
        value: int | None = self.found["batch"].value
        return value

    @property
    def device(self) -> str:
        """``cpu``, ``cuda:1``, ... or ``auto``."""
        return str(self.found["device"].value)

    @property
    def dtype(self) -> str | None:
        """Precision of models whose node doesn't say; None for the node's own default."""
        value: str | None = self.found["dtype"].value
        return value

    @property
    def workers(self) -> int:
        """Worker processes; 0 computes in this one."""
        return int(self.found["workers"].value)

    @property
    def cluster(self) -> str:
        """A Dask scheduler's address, ``gpus``, or a file of jobs; empty for this machine's processes."""
        return str(self.found["cluster"].value)

    @property
    def tls(self) -> Path | None:
        """A folder of certificates."""
        value: Path | None = self.found["tls"].value
        return value

    @property
    def wait(self) -> float:
        """Seconds to wait for a cluster's workers."""
        return float(self.found["wait"].value)

    @property
    def store_limit(self) -> int | None:
        """Bytes that the store may take; None for no limit."""
        value: int | None = self.found["store_limit"].value
        return value

    @property
    def imports(self) -> tuple[Path, ...]:
        """Python files that graphs may run, resolved. A project's file counts only where the user trusts its folder."""
        value: tuple[Path, ...] = self.found["import"].value
        return value


def resolve(folder: Path | None = None, given: Mapping[str, Any] | None = None) -> Settings:
    """The settings that hold for a graph's folder. Raises UserError with file:line:column.

    folder: where the project's flowgen.toml is sought, upwards, before the current folder. given: by name, what the
    call says; None stands for nothing.
    """
    given = {name: value for name, value in (given or {}).items() if value is not None}
    own = read_user()
    trusted = own.values.get(TRUST.name, ()) if own else ()
    path = project_file([*([folder] if folder else []), Path()])
    files = [file for file in (read_project(path, trusted) if path else None, own) if file]
    found = {}
    for name, kind in KINDS.items():
        variable = os.environ.get(kind.variable, "") if kind.variable else ""
        holder = next((file for file in files if name in file.values), None)
        if name in given:
            found[name] = Setting(given[name], f"--{name}")
        elif variable:
            value = understood(kind, variable, Path(), source=f"{kind.variable}: ")
            found[name] = Setting(value, str(kind.variable))
        elif holder:
            place = holder.places[name]
            found[name] = Setting(holder.values[name], f"{place.file}:{place.line}")
        else:
            found[name] = Setting(kind.default, "default")
    return Settings(found)
