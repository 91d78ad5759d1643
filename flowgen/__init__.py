"""flowgen: a declarative engine for generation graphs."""

from __future__ import annotations

__version__ = "0.1.0"
