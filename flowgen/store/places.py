"""What a store's place means: a folder, or a URL of object storage."""

from __future__ import annotations

from pathlib import Path

from flowgen.store.folder import Folder
from flowgen.store.medium import Medium


def opened(place: Path | str) -> Medium:
    """The medium at a place. Raises UserError for a URL that can't be used."""
    return Folder(Path(place))
