"""What a store's place means: a folder, or a URL of object storage."""

from __future__ import annotations

from pathlib import Path

from flowgen.errors import UserError
from flowgen.store.folder import Folder
from flowgen.store.medium import Medium


def opened(place: Path | str) -> Medium:
    """The medium at a place. Raises UserError for a URL that can't be used."""
    if not is_url(place):
        return Folder(Path(place))
    try:
        from flowgen.store.objects import Objects
    except ImportError:
        hint = "pip install 'flowgen[cloud]'"
        raise UserError(f"the store {place}: object storage needs the package obstore", hint=hint) from None
    return Objects(str(place))


def is_url(place: Path | str) -> bool:
    """Whether a place is in object storage."""
    return isinstance(place, str) and "://" in place
