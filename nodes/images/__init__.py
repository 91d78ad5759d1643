"""Pictures from files."""

from . import load

__all__ = ["load"]
