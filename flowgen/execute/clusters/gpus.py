"""All GPUs of this machine: one process with one thread for each."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from distributed import SpecCluster

from flowgen.errors import UserError
from flowgen.execute.clusters.near import Near
from flowgen.execute.clusters.processes import POOLS, on_loopback, threads_of
from flowgen.execute.placement import GPU


def gpus(count: int) -> SpecCluster:
    """A worker process for each GPU that this process may see, or for the first ones. Raises UserError for too few."""
    names = visible()
    if not names or count > len(names):
        raise no_gpus(len(names))
    return one_for_each(names[: count or None])


def no_gpus(count: int) -> UserError:
    """There are too few."""
    there = f"{count} GPUs" if count else "no GPU"
    return UserError(f"this machine has {there} for '--cluster gpus'", hint="--workers N alone uses its cores")


def visible() -> list[str]:
    """The GPUs as ``CUDA_VISIBLE_DEVICES`` names them, which a user or a job's scheduler may have set."""
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [name.strip() for name in said.split(",")] if said else []
    count = torch.cuda.device_count()
    return names[:count] if names else [str(n) for n in range(count)]


def one_for_each(names: Sequence[str]) -> SpecCluster:
    """A worker process for each of some GPUs, which is its first: ``cuda`` is another one in every process.

    The others follow in turn, as in dask-cuda, so that a process can tell how many there are.
    """
    threads = dict.fromkeys(POOLS, str(threads_of(len(names))))
    return on_loopback(
        [
            {"env": {**threads, "CUDA_VISIBLE_DEVICES": order}, "resources": {GPU: 1}, "plugins": (Near(),)}
            for order in turned(names)
        ]
    )


def turned(names: Sequence[str]) -> list[str]:
    """What each process sees: its own GPU first."""
    return [",".join([*names[n:], *names[:n]]) for n in range(len(names))]
