"""Parts of models on abstract tensors: built from configurations, measured, never loaded."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from torch._subclasses.fake_tensor import FakeTensorMode

from flowgen.errors import UserError, exit_text
from flowgen.values.model import Part, loader_of, size_of


class AbstractParts:
    """Builds each distinct part once."""

    def __init__(self) -> None:
        self.built: dict[Part, Any] = {}
        self.known: dict[Hashable, Any] = {}
        """outcomes of nodes, and bytes of weights that they open, for others that are given the like"""
        self.opened: dict[str, int] = {}
        """bytes of weights of the parts that were opened since the caller emptied it"""

    def sizes(self) -> dict[Part, int]:
        """Bytes of weights of each part."""
        return {part: size_of(module) for part, module in self.built.items()}

    def lacking(self) -> list[str]:
        """What a run will need and isn't here, each with the way out."""
        parts = dict.fromkeys(each for part in self.built for each in part.whole() if each.lacking[0])
        return [f"{part.lacking[0]}, which a run will need: {part.lacking[1]}" for part in parts]

    def opener(self, mode: FakeTensorMode) -> Callable[[Part], Any]:
        """What ``model[part]`` does during the abstract run."""

        def open_part(part: Part) -> Any:
            if part not in self.built:
                self.built[part] = built(part)
            module = self.built[part]
            self.opened[part.name] = size_of(module)
            return module

        return open_part


def built(part: Part) -> Any:
    """A part from its configuration. Raises UserError where its code can't make anything of that."""
    try:
        return loader_of(part).build(part)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        why = f"its code calls {exit_text(error)}" if isinstance(error, SystemExit) else first_line(error)
        said = f"the part '{part.name}' can't be built as its configuration says: {why}"
        raise UserError(said, hint=f"looked in {part.folder}") from error


def first_line(error: Exception) -> str:
    """What an exception says, in a line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
