"""Encoders: texts (and images) to what denoisers read."""

from . import text

__all__ = ["text"]
