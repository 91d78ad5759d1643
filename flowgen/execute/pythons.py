"""Pythons that this process starts: what lies in the current folder is no module of theirs.

Python's ``multiprocessing`` starts its processes with ``-c``, for which modules are looked for in the current folder
first, before Python's own: a ``signal.py`` beside a graph would run. What this process itself imports from, workers are
told later, the current folder too if that is part of it.
"""

from __future__ import annotations

from multiprocessing import util

SAFE = "PYTHONSAFEPATH"
"""the variable that says so to Pythons which others start"""

original = util._args_from_interpreter_flags  # type: ignore[attr-defined]


def set_safe() -> None:
    """Have what ``multiprocessing`` starts from now on look for no modules in the current folder."""
    util._args_from_interpreter_flags = flags  # type: ignore[attr-defined]


def flags() -> list[str]:
    """The options of a new Python: this one's, and that."""
    found: list[str] = original()
    return found if "-P" in found else [*found, "-P"]
