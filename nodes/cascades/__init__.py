"""Cascades: what stands between a small model and the one that makes its pictures larger."""

from . import enlarge

__all__ = ["enlarge"]
