"""How a run is stopped: SIGTERM is heard as Ctrl-C is, and the second of either ends the process at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import util
from types import FrameType
from typing import NoReturn

STOPPED = 130
"""exit code of what was stopped: 128 + SIGINT, as shells have it"""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = "\x1b[?25h"


@contextmanager
def interruptible() -> Iterator[None]:
    """Within, either signal raises KeyboardInterrupt, once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, first) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end() -> NoReturn:
    """End the process, which has said what it had to: a thread that still loads a model would hold it for minutes."""
    sys.stdout.flush()
    sys.stderr.flush()
    util._run_finalizers(0)  # type: ignore[attr-defined]  # names of semaphores go with that, as at any other end
    os._exit(STOPPED)


def first(number: int, frame: FrameType | None) -> NoReturn:
    """Ask the run to end."""
    for other in SIGNALS:
        signal.signal(other, second)
    raise KeyboardInterrupt


def second(number: int, frame: FrameType | None) -> NoReturn:
    """End the process, and the one that workers are forked from, which may have seconds of imports before it."""
    if forking := sys.modules.get("flowgen.execute.clusters.forking"):
        forking.forsake()
    cursor = SHOW_CURSOR if sys.stderr.isatty() else ""
    os.write(2, f"\n{cursor}ended at once; what was published is kept\n".encode())
    os._exit(STOPPED)
