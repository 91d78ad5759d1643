"""Jobs that end are submitted again; the system is a stand-in whose jobs are processes, all else is as with SLURM."""

import os
import signal
import sys
import time

import dask
import pytest
from small import Lab

from flowgen.execute import post
from flowgen.execute.clusters import Where, client, resubmitting
from flowgen.execute.clusters.resubmitting import BARREN
from flowgen.execute.connection import WAIT
from flowgen.execute.messages import NOTES
from flowgen.execute.post import DESERTED, Post
from flowgen.execute.progress import Silent
from flowgen.experiment import load

SUBMIT = """\
#!/bin/sh
if [ -e "$0.full" ]; then exit 1; fi
cp "$1" "$0-$$.sh"
setsid sh "$0-$$.sh" > /dev/null 2>&1 &
echo "Submitted batch job $!"
echo $! >> "$0.txt"
"""
CANCEL = """\
#!/bin/sh
kill -KILL -- "-$1"
echo "$1" >> "$0.txt"
"""
JOBS = """\
system = "slurm"
jobs = 1
memory = "1GB"
host = "127.0.0.1"
python = "PYTHON"
"""
CODE = '''\
"""Numbers; one of them is where its job's time is over."""
import os
import signal
from pathlib import Path

import torch

from flowgen.node import node
from flowgen.values import PerItem, Score
from flowgen.values.random import is_abstract


@node("number", stored=True)
def number(value: PerItem[int]) -> Score:
    """The number."""
    over = Path(__file__).with_name("over")
    if not is_abstract() and 5 in value.values and not over.exists():
        over.touch()
        os.killpg(0, signal.SIGKILL)
    return Score(torch.tensor([float(v) for v in value.values]), torch.ones(len(value.values), dtype=torch.long))
'''
GRAPH = """\
flowgen: 1
sweep: {value: {range: 8}}
nodes:
  one: {type: ./own.py:number, value: $value}
outputs: [one]
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file of jobs for a system with the commands of SLURM; that a job has ended is noticed soon."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "dask_jobqueue"]:
        monkeypatch.delitem(sys.modules, name)  # as in a process of its own, where a run imports it
    for name, text in (("sbatch", SUBMIT), ("scancel", CANCEL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "slurm.toml"
    path.write_text(JOBS.replace("PYTHON", sys.executable))
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "1s"}):
        yield path


def jobs(file, command="sbatch") -> list[int]:
    """The process groups of all jobs that were submitted, or cancelled."""
    return [int(line) for line in file.with_name(f"{command}.txt").read_text().split()]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_job_that_ends_in_the_middle_of_a_run_is_replaced(file, tmp_path, zoo_folder, monkeypatch, processes):
    monkeypatch.setattr(post, "DESERTED", 0.1)  # the run waits for the next job's worker as long as for the first one's
    monkeypatch.setattr(post, "LOOK", 0.1)
    lab = Lab(tmp_path, zoo_folder)
    (tmp_path / "own.py").write_text(CODE)
    (tmp_path / "g.yaml").write_text(GRAPH)
    file.write_text(file.read_text() + f"cores = 2\nprocesses = {processes}\n")
    experiment = load(tmp_path / "g.yaml", imports=[tmp_path / "own.py"])
    done = experiment.run(lab.store, lab.runs, cluster=str(file), wait=120, batch=1)
    assert done.results.one.values.tolist() == [float(n) for n in range(8)]
    assert "jobs ended; 1 is submitted in their place" in done.tally.notes
    assert len(jobs(file)) == 2
    assert set(jobs(file, "scancel")) == set(jobs(file))


@pytest.mark.slow
def test_a_job_that_ended_is_wanted_no_longer_than_it_is_known(file):
    """Else it would be submitted again under its old name."""
    with client(Where(cluster=str(file), wait=120)) as connected:
        cluster = connected.cluster
        (name,) = cluster.worker_spec
        file.with_name("sbatch.full").touch()
        os.killpg(jobs(file)[0], signal.SIGKILL)
        for _ in range(1000):
            known, wanted = name in cluster.workers, name in cluster.worker_spec
            if not wanted:
                break
            assert known
            time.sleep(0.01)
        assert not wanted


@pytest.mark.slow
def test_jobs_that_end_at_once_are_not_submitted_for_ever(file, monkeypatch):
    monkeypatch.setattr(resubmitting, "PAUSE", 1.0)
    full, said = file.with_name("sbatch.full"), []
    with client(Where(cluster=str(file), wait=120)) as connected:
        connected.subscribe_topic(NOTES, lambda event: said.append(event[1]))
        for count in range(1, BARREN + 1):
            connected.wait_for_workers(1, timeout=120)
            assert len(jobs(file)) == count
            full.touch()
            os.killpg(jobs(file)[-1], signal.SIGKILL)
            time.sleep(4)
            full.unlink()
        assert connected.cluster.given_up
        assert len(jobs(file)) == BARREN
        assert sum("takes no job" in text for text in said) >= BARREN - 1
        assert said[-1] == f"{BARREN} jobs in a row ended before they had computed anything; no more are submitted"
        with dask.config.set({WAIT: 7200.0}):
            assert Post(connected, {}, Silent()).patience() == DESERTED
