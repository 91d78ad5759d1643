"""Models: folders in the formats that users have, read as bundles of parts."""

from . import model

__all__ = ["model"]
