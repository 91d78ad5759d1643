"""A process for each GPU of this machine: started for real, on a machine that only believes that it has two."""

import os

import pytest
import torch
from small import SMALL, Lab, computed

from flowgen.execute.clusters import Where, client
from flowgen.execute.clusters.preflight import admitted
from flowgen.execute.clusters.processes import POOLS, threads_of
from flowgen.execute.driver import Flight, Tally, run_once
from flowgen.execute.placement import GPU
from flowgen.execute.progress import Silent
from flowgen.execute.task import Place

GRAPH = SMALL.replace("steps: 4", "steps: 2").replace("[image, clip, fid]", "[image]")


@pytest.fixture
def two(monkeypatch):
    """GPUs 3 and 5, as far as the driver knows."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def surroundings() -> tuple[str, set[str]]:
    """What a process sees: GPUs, and with how many threads it is to compute."""
    return os.environ["CUDA_VISIBLE_DEVICES"], {os.environ[name] for name in POOLS}


def test_each_gpu_has_a_process_of_its_own_that_computes(two, tmp_path, zoo_folder):
    lab, tally = Lab(tmp_path, zoo_folder), Tally()
    plan = lab.load(GRAPH).plan(lab.store, workers=2, batch=2)
    with client(Where(cluster="gpus")) as connected:
        seen = connected.run(surroundings)
        assert sorted(seen.values()) == [("3,5", {str(threads_of(2))}), ("5,3", {str(threads_of(2))})]
        about = connected.scheduler_info(n_workers=-1)["workers"].values()
        assert [(w["resources"], w["nthreads"], w["host"]) for w in about] == [({GPU: 1}, 1, "127.0.0.1")] * 2
        with admitted(connected, plan, Place(str(lab.store), "cpu")) as (asking, workers):
            assert run_once(Flight(plan, connected, asking, workers, print, Silent()), Silent(), tally) == []
        assert {r.worker for r in tally.receipts if r.stage == "sampler"} == set(connected.run(os.getpid).values())
    assert tally.computed() == plan.compute
    found = lab.run(GRAPH)
    assert computed(found) == {}
    lab.store = tmp_path / "other"
    assert float(abs(found.results.image - lab.run(GRAPH).results.image).max()) < 1e-4
