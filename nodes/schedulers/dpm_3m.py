"""The node ``scheduler.dpm_3m``."""

from __future__ import annotations

from typing import ClassVar

from flowgen.node import node

from .dpm_2m import Multistep


@node("scheduler.dpm_3m")
class DPM3M(Multistep):
    """DPM-Solver++ (3M), multistep of order 3; Lu et al. 2022, arXiv:2211.01095, appendix.

    A step is one denoiser call. solver: as of scheduler.dpm_2m, for the steps of order 2 at the ends.
    """

    order: ClassVar[int] = 3
