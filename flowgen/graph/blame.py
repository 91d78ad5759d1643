"""What node code raises while a graph is checked, as an error at the node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedFakeTensorException,
)

from flowgen.errors import UserError, exit_text
from flowgen.graph.model import GraphNode, blamed
from flowgen.graph.parts import first_line
from flowgen.language.document import Document

NEEDS_NUMBERS = (DataDependentOutputException, DynamicOutputShapeException, UnsupportedFakeTensorException)
"""what torch raises where code asks a tensor without numbers for one"""
UNFIT = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)
"""what code raises that is given tensors of shapes or dtypes that it doesn't take"""


@contextmanager
def blaming(node: GraphNode, document: Document, argument: str = "") -> Iterator[None]:
    """Within, a node's code runs: what it raises, or that it calls exit, becomes a UserError at the node.

    One of its own is put at the argument that it is about, else at ``argument``.
    """
    try:
        yield
    except UserError as error:
        raise blamed(error, node, document, argument) from None
    except (Exception, SystemExit) as error:
        raise node.error(*explained(node, error)) from error


def explained(node: GraphNode, error: Exception | SystemExit) -> tuple[str, str, str]:
    """Message, argument and hint for an exception out of node code on abstract tensors."""
    name = f"'{node.name}' ({node.type.name})"
    if isinstance(error, SystemExit):
        return f"{name} calls {exit_text(error)}", "", "code that can't go on raises an exception"
    first = first_line(error)
    if isinstance(error, NEEDS_NUMBERS):
        hint = (
            "its code needs numbers where 'check' has only shapes; its author can mend that: "
            "docs/own-nodes.md, 'abstract'"
        )
    elif isinstance(error, UNFIT):
        hint = "the shapes or dtypes of what is wired into it don't fit"
    else:
        return f"{name} fails with {type(error).__name__}: {first}", "", ""
    return f"{name} doesn't accept what it is given: {first}", "", hint
