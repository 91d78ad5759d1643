"""A run killed at any point loses nothing that was published, and the next run answers the same."""

import os
import signal

import pytest
import torch
from small import SMALL, Lab, to_compute

from flowgen.execute.task import open_store

STRICT = (
    SMALL.replace("flowgen: 1", "flowgen: 1\nnumerics: strict")
    .replace("guidance: [1, 4]", "guidance: [4]")
    .replace("seed: {range: 3}", "seed: [0, 1]")
    .replace("steps: 4", "steps: 2")
)
OPTIONS = {"batch": 2}
TOTAL = 2 + 1 + 4 * 4 + 1
"""texts, empty; latents, images, scores and features of four points; FID"""

POINTS = [
    *(("before computing", n) for n in (1, 3, 5, 7)),
    *(("after computing", n) for n in (1, 2, 4, 6)),
    *(("sync", n) for n in (1, 2, 3, 11, 20)),
    *(("before publishing", n) for n in (1, 4)),
    *(("after publishing", n) for n in (1, 4)),
    ("before results", 1),
    ("after results", 1),
    ("before report", 1),
]


def die_at(where, count):
    """Arrange that this process is killed when it comes to a point the ``count``-th time."""
    import flowgen.execute.task as task
    import flowgen.results.run as results

    left = [count]

    def at(name):
        if name == where:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(module, name, before, after, among=""):
        original = getattr(module, name)

        def wrapped(*arguments, **options):
            counts = among in str(arguments)
            at(before if counts else "")
            found = original(*arguments, **options)
            at(after if counts else "")
            return found

        setattr(module, name, wrapped)

    around(task, "compute", "before computing", "after computing")
    around(os, "fsync", "sync", "")
    around(os, "replace", "before publishing", "after publishing", among="/blocks/")
    around(results, "write_dataset", "before results", "after results")
    around(results, "write_report", "before report", "")


def run_and_die(lab, where, count):
    """What the child process does."""
    torch.set_num_threads(1)
    die_at(where, count)
    lab.run(STRICT, options=OPTIONS)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, zoo_folder):
    lab = Lab(tmp_path_factory.mktemp("undisturbed"), zoo_folder)
    return lab.run(STRICT, options=OPTIONS).results.load()


@pytest.mark.slow
@pytest.mark.parametrize(("where", "count"), POINTS)
def test_a_killed_run_goes_on(tmp_path, zoo_folder, server, undisturbed, where, count):
    assert len(POINTS) == 20
    lab = Lab(tmp_path, zoo_folder)
    child = server.Process(target=run_and_die, args=(lab, where, count))
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    experiment = lab.load(STRICT)
    left = sum(to_compute(experiment.plan(lab.store, batch=2)).values())
    published = sum(len(m["keys"]) for m in manifests(lab))
    assert left + published == TOTAL
    run = experiment.run(lab.store, lab.runs, **OPTIONS)
    assert run.tally.computed() == left
    assert run.results.load().equals(undisturbed)


def manifests(lab):
    """What the blocks on disk say of themselves."""
    store = open_store(str(lab.store))
    return [store.manifest(name) for name in store.on_disk()]
