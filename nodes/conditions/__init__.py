"""Conditions that aren't texts: classes, sizes, image embeddings, none."""

from . import embedding, label, size, zero

__all__ = ["embedding", "label", "size", "zero"]
