"""Conditions that aren't texts: classes, sizes, image embeddings."""

from . import embedding, label, size

__all__ = ["embedding", "label", "size"]
