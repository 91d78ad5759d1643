"""Where and how to run: flags, environment, flowgen.toml. Never what a graph means, but for a model's default dtype."""

from flowgen.config.resolve import Settings, resolve

__all__ = ["Settings", "resolve"]
