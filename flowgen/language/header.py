"""The top level of a graph file: which keys there are, and what is wrong with them in plain words."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flowgen.errors import UserError, did_you_mean
from flowgen.language.axes import kind_of
from flowgen.language.tree import Steps, Tree


class Header(BaseModel):
    """The top level of a graph file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    flowgen: Literal[1]
    """version of the language"""
    description: str = ""
    inputs: dict[str, Any] = Field(default_factory=dict)
    sweep: dict[str, Any] = Field(default_factory=dict)
    defaults: dict[str, Any] = Field(default_factory=dict)
    nodes: dict[str, dict[str, Any]]
    outputs: Any
    """a list or a mapping; ``language/outputs.py`` reads it"""
    numerics: Literal["fast", "strict"] = "fast"


KEYS = (*Header.model_fields, "extends")


def validate_header(tree: Tree) -> Header:
    """The top level, or the first thing wrong with it, at its place."""
    if not isinstance(tree.data, dict):
        raise UserError("a graph file is a mapping", tree.at(()), "start with 'flowgen: 1' and 'nodes:'")
    try:
        return Header.model_validate(tree.data)
    except ValidationError as error:
        raise explain(error, tree) from None


def explain(error: ValidationError, tree: Tree) -> UserError:
    """pydantic's first finding in flowgen's words; an unknown key before a missing one, which it may be."""
    findings = error.errors()
    unknown = [found for found in findings if found["type"] == "extra_forbidden"]
    finding = unknown[0] if unknown and findings[0]["type"] == "missing" else findings[0]
    path: Steps = tuple(finding["loc"])
    name = str(path[-1])
    if finding["type"] == "extra_forbidden":
        return UserError(f"unknown key '{name}'", tree.at(path, key=True), did_you_mean(name, KEYS))
    if finding["type"] == "missing":
        return UserError(f"'{name}' is missing", tree.at(path[:-1]), "a graph file needs flowgen, nodes and outputs")
    if name == "flowgen":
        return UserError("this version of flowgen reads language version 1", tree.at(path), "write 'flowgen: 1'")
    expected = finding["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    expected = {"dictionary": "a mapping", "list": "a list", "string": "a text"}.get(expected, expected)
    found = kind_of(finding["input"])
    return UserError(f"'{'.'.join(map(str, path))}' should be {expected}, not {found}", tree.at(path))
