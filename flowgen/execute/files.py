"""The files that nodes of a task read: what the run was planned with, whatever lies there by now or on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flowgen.errors import UserError
from flowgen.node import Source
from flowgen.plan.contents import FileDigest, content, files_in
from flowgen.values import PerItem


class Files:
    """What a task compares before and after the code that reads it. ``planned``: digests by path."""

    def __init__(self, planned: Mapping[str, str], file_digest: FileDigest) -> None:
        self.planned = planned
        self.file_digest = file_digest
        self.open: dict[str, Source] = {}
        """by path, what code may be reading"""

    def begin(self, arguments: Iterable[Any]) -> None:
        """Code is given these arguments. Raises UserError for a file that isn't as planned."""
        if not self.planned:
            return
        values = [value.values if isinstance(value, PerItem) else value for value in arguments]
        found = {str(source.path): source for source in files_in(values) if str(source.path) in self.planned}
        self.open |= found
        for source in found.values():
            self.compare(source)

    def check(self) -> None:
        """What was read so far was as planned. Raises UserError."""
        for source in self.open.values():
            self.compare(source)

    def end(self) -> None:
        """Nothing is read any more. Raises UserError where something wasn't as planned."""
        self.check()
        self.open.clear()

    def compare(self, source: Source) -> None:
        """Raises UserError for a file or folder that isn't as planned."""
        try:
            same = content(source.path, self.file_digest) == self.planned[str(source.path)]
        except OSError as error:
            raise UserError(f"can't read '{source.text}': {error.strerror}", hint=AGAIN) from None
        if not same:
            what = "changed" if source.path.exists() else "is gone"
            raise UserError(f"'{source.text}' {what} since the run was planned", hint=AGAIN)


AGAIN = "run again; workers on other machines need the same files"
