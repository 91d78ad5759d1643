"""Metrics: scores of items, features, and statistics of sets."""

from . import clip, distance, features, fid, mean

__all__ = ["clip", "distance", "features", "fid", "mean"]
