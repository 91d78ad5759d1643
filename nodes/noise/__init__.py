"""Start noise."""

from . import gaussian, next

__all__ = ["gaussian", "next"]
