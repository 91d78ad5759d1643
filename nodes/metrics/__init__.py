"""Metrics: scores of items, features, and statistics of sets."""

from . import clip, features, fid, mean

__all__ = ["clip", "features", "fid", "mean"]
