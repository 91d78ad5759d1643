"""Routing: which of several values goes on."""

from . import select

__all__ = ["select"]
