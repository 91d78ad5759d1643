"""How far a task is, said now and then while it computes: one that takes minutes isn't silent."""

from __future__ import annotations

import time

from flowgen.execute.messages import stride

EVERY, SHARE = 5.0, 0.05
"""seconds between two words of a task at least, and as a share of its time so far: a long one says less often"""


class Strides:
    """Counts a task's steps. One for each task."""

    def __init__(self) -> None:
        self.steps = 0
        self.begun = self.said = time.monotonic()

    def went(self, steps: int) -> None:
        """So many more are done, each of one item: a loop's steps, or whole items of other nodes."""
        self.steps += steps
        now = time.monotonic()
        if now - self.said >= max(EVERY, SHARE * (now - self.begun)):
            self.said = now
            stride(self.steps, now - self.begun)
