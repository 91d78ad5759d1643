"""Standard output that can't be written: a pipe that nobody reads any more, a full disk."""

from __future__ import annotations

import errno
import io
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, cast

import click

UNREAD = 128 + signal.SIGPIPE
"""exit code where nobody reads the pipe any more, as shells have it for other commands"""
UNWRITTEN = 2
"""exit code where it can't be written otherwise"""


class Unheard(Exception):
    """Standard output can't be written: ends the command."""


class Output(io.FileIO):
    """Standard output's file. When it can't be written any more the command ends, or what it prints is dropped."""

    def __init__(self) -> None:
        super().__init__(1, "w", closefd=False)
        self.lost: OSError | None = None
        self.dropping = False
        """whether the command goes on"""

    def write(self, data: Any, /) -> int:
        """As any file, until it fails."""
        if self.lost is None:
            try:
                return super().write(data)
            except OSError as error:
                self.lost = error
                if not self.dropping:
                    raise Unheard from error
        return len(memoryview(data))


def go_on_unheard() -> None:
    """From here on the command goes on to its end without its output: a run mustn't be lost with that."""
    stream = getattr(sys.stdout, "buffer", None)
    file = getattr(stream, "raw", stream)
    if isinstance(file, Output):
        file.dropping = True


def print_json(value: Any) -> None:
    """Print as JSON, in ASCII if standard output can't take all of it: paths, and what damaged folders say, may hold
    what no encoding has.
    """
    from flowgen.language.strict_json import json_text

    text = json_text(value)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json_text(value, ascii=True)
    click.echo(text)


@contextmanager
def output() -> Iterator[None]:
    """Within, a command that can't write its output ends without a traceback, and with an exit code of its own unless
    it has another one.
    """
    before = sys.__stdout__
    if before is None or sys.stdout is not before or before.fileno() != 1:  # somebody else's
        yield
        return
    file = Output()
    sys.stdout = io.TextIOWrapper(
        cast(IO[bytes], file) if before.write_through else io.BufferedWriter(file),  # python -u buffers nothing
        encoding=before.encoding,
        errors="backslashreplace" if before.errors == "strict" else before.errors,
        line_buffering=before.line_buffering,
        write_through=before.write_through,
    )
    try:
        yield
        sys.stdout.flush()
    except Unheard:
        pass
    except BaseException:
        with suppress(Unheard):
            sys.stdout.flush()
        raise
    if file.lost is not None:
        sys.exit(told(file.lost))


def told(error: OSError) -> int:
    """The exit code; why the output is lost is said unless nobody wanted more of it."""
    if error.errno == errno.EPIPE:
        return UNREAD
    with suppress(OSError):
        click.echo(f"error: can't write to standard output: {error.strerror}", err=True)
    return UNWRITTEN
