"""The files that a pattern with wildcards names, found in one walk that has bounds.

It gives what Python's glob gives, but for ``..`` behind a wildcard. A folder is entered once for each way to write its
path, with all parts of the pattern that may match in it, so that several ``**`` cost little more than one.
"""

from __future__ import annotations

import glob
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from fnmatch import translate
from pathlib import Path

from flowgen.errors import UserError
from flowgen.language.axes import MAX_POINTS
from flowgen.language.labels import readable

MAX_PATTERN = 4096
"""characters; no path is longer"""
MAX_FOLDERS = 100_000
"""that ``**`` or a link leads to"""
MAX_LOOKS = 50_000_000
"""at entries of folders, counted for each part of the pattern that they are compared with"""
DEEP = "**"
"""stands for folders of any depth"""
SHOWN = 200
"""characters of a pattern that a message shows"""


def matching(pattern: str, folder: Path) -> set[str]:
    """Files, relative to the folder unless the pattern isn't. Raises UserError beyond a bound, ValueError for what is
    no pattern.
    """
    if len(pattern) > MAX_PATTERN:
        raise UserError(f"a pattern has at most {MAX_PATTERN} characters")
    *above, name = pattern.split("/")
    parts = [part for part in (*above, name) if part not in ("", ".")]
    first = next((n for n, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    if ".." in parts[first:]:
        hint = "it leads from all that the wildcard stands for to the same files: begin the pattern with where they are"
        raise UserError(f"'{readable(pattern, SHOWN)}' has '..' behind a wildcard", hint=hint)
    if name in ("", ".", ".."):
        return set()  # a folder
    start = os.path.join(Path(pattern).root, *parts[:first])
    if first < len(parts):
        found = Walk(pattern, parts[first:], folder).files(start)
    else:
        found = {start} if os.path.isfile(os.path.join(folder, start)) else set()
    return {Path(text).as_posix() for text in found}


class Walk:
    """One walk through folders."""

    def __init__(self, pattern: str, parts: list[str], folder: Path) -> None:
        self.pattern = pattern
        self.parts = [part for n, part in enumerate(parts) if part != DEEP or parts[n - 1 : n] != [DEEP]]
        self.tests = [re.compile(translate(part)).match if glob.has_magic(part) else None for part in self.parts]
        self.folder = folder
        self.found: set[str] = set()
        self.folders = self.looks = 0

    def files(self, start: str) -> set[str]:
        """What matches below a folder; more than an axis may have if there is more. Raises UserError."""
        waiting = [(start, {0}, DEEP in self.parts)]
        while waiting and len(self.found) <= MAX_POINTS:
            text, at, counted = waiting.pop()
            path = os.path.join(self.folder, text)
            at |= {n + 1 for n in at if self.parts[n] == DEEP and n + 1 < len(self.parts)}
            for name, ahead in self.below(text, path, at).items():
                behind_link = counted or os.path.islink(os.path.join(path, name))
                self.folders += behind_link
                self.check(self.folders, MAX_FOLDERS, "takes in", "folders")
                waiting.append((os.path.join(text, name), ahead, behind_link))
        return self.found

    def below(self, text: str, path: str, at: set[int]) -> dict[str, set[int]]:
        """Look into a folder with some parts of the pattern, by their numbers; the folders in it with theirs."""
        found: dict[str, set[int]] = defaultdict(set)
        wild = [n for n in at if self.tests[n]]
        for entry in listed(path) if wild else ():
            for n in wild:
                if self.fits(n, entry.name):
                    self.take(text, entry, n, found)
            self.looks += len(wild)
            self.check(self.looks, MAX_LOOKS, "compares", "names")
        for n in at.difference(wild):
            self.take(text, Path(path, self.parts[n]), n, found)
            self.looks += 1
        return found

    def fits(self, number: int, name: str) -> bool:
        """Whether a name fits a part with wildcards; hidden ones fit those alone that begin with a dot."""
        test = self.tests[number]
        hidden = name.startswith(".") and not self.parts[number].startswith(".")
        return test is not None and not hidden and test(name) is not None

    def take(self, text: str, entry: os.DirEntry[str] | Path, number: int, below: dict[str, set[int]]) -> None:
        """Use what fits a part: as a file that is found, or as a folder to go on in."""
        ahead = number if self.parts[number] == DEEP else number + 1
        if number + 1 == len(self.parts) and true(entry.is_file):
            self.found.add(os.path.join(text, entry.name))
        elif ahead < len(self.parts) and true(entry.is_dir):
            below[entry.name].add(ahead)

    def check(self, count: int, most: int, does: str, what: str) -> None:
        """A walk has bounds."""
        if count > most:
            hint = "begin the pattern with the folder that is meant; a link may lead back to a folder that it is in"
            raise UserError(f"'{readable(self.pattern, SHOWN)}' {does} more than {most} {what}", hint=hint)


def listed(path: str) -> Iterator[os.DirEntry[str]]:
    """What is in a folder; nothing if it can't be read."""
    try:
        with os.scandir(path) as entries:
            yield from entries
    except OSError:
        return


def true(test: Callable[[], bool]) -> bool:
    """What is told of an entry; false where nobody can tell."""
    try:
        return test()
    except OSError:
        return False
