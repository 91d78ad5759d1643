"""A graph on all GPUs of a machine: `make test-gpu`. The other tests leave it out."""

from clusters import flowgen
from small import SMALL, Lab, computed

from flowgen.execute.clusters import Where, client
from flowgen.execute.clusters.gpus import visible


def own_gpu() -> tuple[str, int]:
    """Which GPU a process computes on, and how many it sees."""
    import torch

    return str(torch.cuda.get_device_properties("cuda").uuid), torch.cuda.device_count()


def test_each_process_has_a_gpu_to_itself():
    names = visible()
    assert names, "this machine has no GPU"
    with client(Where(cluster="gpus")) as connected:
        found = connected.run(own_gpu).values()
        resources = [about["resources"] for about in connected.scheduler_info()["workers"].values()]
    assert len({uuid for uuid, _ in found}) == len(names)
    assert {count for _, count in found} == {len(names)}
    assert resources == [{"GPU": 1}] * len(names)


def test_a_run_on_gpus_answers_what_one_on_the_cpu_does(tmp_path, zoo_folder):
    lab = Lab(tmp_path, zoo_folder)
    here = lab.run(SMALL, options={"device": "cpu"})
    lab.store = tmp_path / "other"
    where = ("--cluster", "gpus", "--store", lab.store, "--runs", lab.runs)
    said = flowgen("run", tmp_path / "g.yaml", *where)
    assert f"computed {here.tally.computed()} items" in said
    there = lab.run(SMALL, options={"device": "cpu"})
    assert computed(there) == {}
    # untrained weights, four steps: the devices' roundings differ by less than this
    assert float(abs(here.results.load().image - there.results.load().image).max()) < 1e-2
