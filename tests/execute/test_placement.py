"""Which workers get a stage's tasks, where their devices differ: workers are findings with devices that are made up."""

from __future__ import annotations

import pickle

import pytest
from small import SMALL, Lab

from flowgen.errors import UserError
from flowgen.execute.device import Memory
from flowgen.execute.fitness import Finding, Unfit
from flowgen.execute.homes import shared_out
from flowgen.execute.placement import GPU, NOBODY, Workers

LARGE, SMALLER, OTHER = (f"tcp://10.0.0.{n}:1" for n in (1, 2, 3))
CARD = {GPU: 1.0}


def finding(total: int, room: int | None = None) -> Finding:
    """What a worker has, whose device has so many bytes."""
    return Finding("", "host", 1, Memory("made up", total, total), {}, total * 3 // 4 if room is None else room)


def workers_of(totals, declared=None):
    """Workers whose devices have so many bytes, by address."""
    return Workers({at: finding(total) for at, total in totals.items()}, declared or {at: {} for at in totals})


@pytest.fixture(scope="module")
def plan(tmp_path_factory, zoo_folder):
    """A plan of stages of different weights: text < image < sampler."""
    lab = Lab(tmp_path_factory.mktemp("placed"), zoo_folder)
    return lab.load(SMALL.replace("[image, clip, fid]", "[image]")).plan(lab.store, workers=2)


@pytest.fixture(scope="module")
def takes(plan):
    """By stage, the bytes of its weights."""
    workers = workers_of({LARGE: 1 << 40})
    workers.settle(plan)
    text, image, sampler = (workers.takes[stage] for stage in ("text", "image", "sampler"))
    assert min(text, image) > 0
    assert max(text, image) < sampler
    return workers.takes


def may_have(workers, plan, stage):
    """The workers that Dask lets a stage's task run on."""
    told = workers.options(plan, stage)
    gpu = "resources" in told
    if "workers" in told and not told.get("allow_other_workers"):
        return set(told["workers"])
    return {at for at, said in workers.there.items() if not gpu or said.get(GPU)}


def test_a_worker_gets_no_tasks_of_stages_for_whose_weights_its_device_is_too_small(plan, takes):
    between = takes["sampler"] - 1
    workers = workers_of({LARGE: 1 << 40, SMALLER: between})
    workers.settle(plan)
    assert may_have(workers, plan, "sampler") == {LARGE}
    for stage in ("text", "image"):
        assert may_have(workers, plan, stage) == {LARGE, SMALLER}
    assert set(workers.homes["sampler"]) == {LARGE}
    assert workers.side_by_side(plan, 0)
    workers.there = {SMALLER: {}}
    workers.told.clear()
    assert may_have(workers, plan, "sampler") == {NOBODY}
    assert workers.lacking(plan, "sampler") == "worker with room for the weights of 'sampler'"
    assert workers.lacking(plan, "text") == "worker that fits"


def test_no_restriction_where_all_devices_hold_all(plan):
    workers = workers_of({LARGE: 1 << 40, SMALLER: 1 << 39})
    workers.settle(plan)
    assert [workers.options(plan, stage) for stage in ("text", "sampler", "image")] == [{}] * 3


def test_the_memory_of_workers_without_a_gpu_holds_no_weights_for_those_with_one(plan, takes):
    card = takes["sampler"] - 1
    workers = workers_of({LARGE: 1 << 40, SMALLER: card}, {LARGE: {}, SMALLER: CARD})
    workers.settle(plan)
    with pytest.raises(UserError, match=r"the weights of 'sampler' take .*, more than any worker's device has"):
        workers.check()


def test_a_worker_that_refuses_a_stage_gets_the_others(plan):
    workers = workers_of({LARGE: 1 << 40, SMALLER: 1 << 39})
    workers.settle(plan)
    refusal = pickle.loads(pickle.dumps(Unfit(SMALLER, ("the weights don't fit",), stage="sampler")))
    assert str(refusal) == f"the worker {SMALLER} gets no tasks of 'sampler': the weights don't fit"
    assert [workers.refuse(refusal), workers.refuse(refusal)] == [True, False]
    assert may_have(workers, plan, "sampler") == {LARGE}
    assert may_have(workers, plan, "image") == {LARGE, SMALLER}
    assert workers.refusal(plan, "sampler") is None
    assert workers.refuse(Unfit(LARGE, ("its store is full",), refused=True))
    assert workers.refusal(plan, "sampler").worker == LARGE  # nobody is left that has the room
    assert workers.refusal(plan, "image") is None
    assert may_have(workers, plan, "image") == {SMALLER}


def each(**sizes):
    """Weights of stages that share none."""
    return {stage: {frozenset({stage}): size} for stage, size in sizes.items()}


def homes(rooms, work=None, able=None, before=None, **sizes):
    """Homes of stages on workers of so many bytes."""
    able = {stage: [at for at, room in rooms.items() if room >= size] for stage, size in sizes.items()} | (able or {})
    found = shared_out(work or dict.fromkeys(sizes, 1.0), each(**sizes), rooms, able, before or {})
    assert all(at == sorted(at) for at in found.values())
    return found


def test_equal_workers_are_shared_out_by_the_work():
    rooms = dict.fromkeys("abcdefgh", 40)
    found = homes(rooms, {"unet": 60.0, "vae": 10.0, "text": 10.0}, unet=40, vae=30, text=20)
    assert {stage: len(at) for stage, at in found.items()} == {"unet": 6, "vae": 1, "text": 1}
    assert sorted(worker for at in found.values() for worker in at) == sorted(rooms)
    assert homes({"a": 40, "b": 40}, unet=40, vae=30, text=20) == {}  # too few


def test_the_largest_stage_lives_where_it_fits():
    assert homes({"a": 40, "b": 100}, unet=70, vae=35, text=30) == {"unet": ["b"], "text": ["b"], "vae": ["a"]}
    assert homes({"a": 100, "b": 20, "c": 40}, unet=70, vae=35, text=15) == {
        "unet": ["a"],
        "text": ["a", "b"],  # what the smallest can hold of a group that it can't
        "vae": ["c"],
    }
    assert homes({"a": 1, "b": 100}, unet=70, text=20) == {"unet": ["b"], "text": ["b"]}


def test_a_stage_of_more_than_a_workers_room_lives_alone():
    """Its weights fit on the device, and leave little beside them."""
    assert homes({"a": 75, "b": 75}, able={"unet": "ab"}, unet=90, text=20) == {"unet": ["a"], "text": ["b"]}
    assert homes({"a": 75, "b": 75}, able={"unet": "b"}, unet=90, text=20) == {"unet": ["b"], "text": ["a"]}
    assert homes({"a": 75, "b": 75}, able={"unet": ""}, unet=90, text=20) == {}


def test_who_has_a_home_keeps_it_and_newcomers_get_what_others_left():
    rooms, sizes = dict.fromkeys("abcd", 40), {"unet": 40, "vae": 30}
    work = {"unet": 30.0, "vae": 10.0}
    first = homes(rooms, work, **sizes)
    assert first == {"unet": ["a", "c", "d"], "vae": ["b"]}
    without_b = homes(dict.fromkeys("acd", 40), work, before=first, **sizes)
    assert [len(without_b["unet"]), len(without_b["vae"])] == [2, 1]
    assert homes(dict.fromkeys("acde", 40), work, before=first, **sizes) == {"unet": ["a", "c", "d"], "vae": ["e"]}
    assert homes(dict.fromkeys("0bcd", 40), work, before=first, **sizes) == {"unet": ["0", "c", "d"], "vae": ["b"]}


class Cluster:
    """What a Dask client says of who is there."""

    def __init__(self, *workers):
        self.workers = workers

    def scheduler_info(self, n_workers):
        return {"workers": {worker: {"resources": {}} for worker in self.workers}}


def test_homes_follow_the_workers(plan, takes):
    total = takes["sampler"] * 4 // 3 + 4  # so that no worker has room for a second stage
    workers = workers_of({LARGE: total, SMALLER: total, OTHER: total})
    workers.settle(plan)
    before = workers.homes
    assert sorted(worker for at in {tuple(at) for at in before.values()} for worker in at) == [LARGE, SMALLER, OTHER]
    gone = before["image"][0]
    left = [worker for worker in (LARGE, SMALLER, OTHER) if worker != gone]
    assert workers.see(Cluster(*left))
    workers.share_out(plan)
    moved = workers.homes
    assert sorted(worker for at in {tuple(at) for at in moved.values()} for worker in at) == sorted(left)
    assert not workers.see(Cluster(*left))
    assert workers.see(Cluster(*left, "tcp://10.0.0.9:1"))
    workers.share_out(plan)
    assert all(set(home) <= set(workers.homes[stage]) for stage, home in moved.items())
    assert "tcp://10.0.0.9:1" in workers.homes["sampler"]
    assert workers.see(Cluster())
    workers.share_out(plan)
    assert [workers.options(plan, stage) for stage in before] == [{}] * len(before)  # whoever comes
    assert workers.see(Cluster(*(anew := [f"tcp://10.0.1.{n}:1" for n in range(3)])))
    workers.share_out(plan)
    assert {worker for home in workers.homes.values() for worker in home} == set(anew)


def test_homes_end_where_the_worker_went_that_held_less(plan):
    workers = workers_of({LARGE: 1 << 40, SMALLER: 1000})
    workers.settle(plan)
    assert workers.homes["sampler"] == [LARGE]
    assert workers.see(Cluster(LARGE, OTHER))
    workers.share_out(plan)
    assert workers.homes == {}
    assert may_have(workers, plan, "sampler") == {LARGE, OTHER}
    assert workers.refuse(Unfit(OTHER, ("too small",), stage="sampler"))
    workers.share_out(plan)
    assert may_have(workers, plan, "sampler") == {LARGE}
