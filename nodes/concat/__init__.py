"""What some networks read beside x, for the port ``concat`` of a denoiser."""

from . import beside

__all__ = ["beside"]
