"""Node types from a Python file beside a graph: ``./rescale.py:rescaled_cfg``. Nothing runs that the user didn't allow.

The version of such a type is a hash of the file's code, comments, layout and docstrings aside; workers get the text.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
import types
from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from flowgen.errors import UserError, did_you_mean, exit_text
from flowgen.language.sources import real
from flowgen.node.registry import NodeType, made, registered

REFERENCE = re.compile(r"(?P<path>[^:]+\.py):(?P<name>[A-Za-z_][A-Za-z0-9_]*)")
PREFIX = "flowgen_file_"
"""of the modules that files become"""


def is_file(type: str) -> bool:
    """Whether a type names code in a file."""
    return ".py:" in type


def file_type(text: str, folder: Path, allowed: Collection[Path]) -> NodeType:
    """The type that ``path.py:name`` means. Raises UserError for a file that isn't allowed, or isn't sound."""
    match = REFERENCE.fullmatch(text)
    if match is None:
        raise UserError(f"'{text}' is no node in a file", hint="write ./FILE.py:FUNCTION")
    path = real(folder / match["path"])
    if path not in allowed:
        hint = f"if you trust it: --import {match['path']} (in Python load(..., imports=[...])), or flowgen.toml"
        raise UserError(f"the graph asks to run code from '{match['path']}', which you haven't allowed", hint=hint)
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"can't read {path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    return from_source(str(path), source, match["name"])


@lru_cache(maxsize=256)
def from_source(path: str, source: str, name: str) -> NodeType:
    """The type of a function or class in a file's text. Raises UserError."""
    try:
        tree = ast.parse(source, path)
    except SyntaxError as error:
        raise UserError(f"{path}:{error.lineno}: not valid Python: {error.msg}") from None
    digest = code_digest(tree)
    module = loaded(path, source, PREFIX + digest)
    code = getattr(module, name, None)
    if not callable(code) or getattr(code, "__module__", None) != module.__name__:
        own = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", None) == module.__name__]
        raise UserError(f"{path} has no function or class '{name}'", hint=did_you_mean(name, own))
    try:
        found = registered(code) or made(f"py:{name}", code)
    except TypeError as error:
        hint = "docs/own-nodes.md says what one is"
        raise UserError(f"{path}: '{name}' can't be a node: {error}", hint=hint) from None
    return replace(found, name=f"py:{name}", version=int(digest[:12], 16), file=(path, source, name))


def loaded(path: str, source: str, module: str) -> types.ModuleType:
    """The file's module, run once in a process for the same code. Raises UserError where running it fails."""
    if module in sys.modules:
        return sys.modules[module]
    found = types.ModuleType(module)
    found.__file__ = path
    sys.modules[module] = found  # type hints of its classes are looked up there
    try:
        exec(compile(source, path, "exec"), found.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[module]
        if isinstance(error, SystemExit):
            hint = "what a script does stands under: if __name__ == '__main__'"
            raise UserError(f"{path} calls {exit_text(error)}, when it is run", hint=hint) from None
        raise UserError(f"{path} fails when it is run: {type(error).__name__}: {error}") from None
    return found


def code_digest(tree: ast.Module) -> str:
    """A hash of what the code says."""
    documented = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for part in ast.walk(tree):
        if isinstance(part, documented) and ast.get_docstring(part, clean=False) is not None:
            part.body[:1] = [] if len(part.body) > 1 else [ast.Pass()]
    return hashlib.blake2b(ast.unparse(tree).encode(), digest_size=16).hexdigest()
