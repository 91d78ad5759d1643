"""A graph on a real SLURM: `make test-slurm`. docs/clusters.md says what it needs; the other tests leave it out."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import dask
import pytest
from clusters import certificates, flowgen
from small import SMALL, Lab, computed

from flowgen.errors import UserError
from flowgen.execute.clusters import Where, client

DAEMONS = ("munged", "slurmctld", "slurmd")
JOBS = """\
system = "slurm"
jobs = 2
cores = 1
memory = "2GB"
host = "127.0.0.1"
queue = "QUEUE"
walltime = "00:10:00"
log_directory = "LOGS"
prologue = ["export PYTHONPATH=PATHS"]
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """SLURM's daemons on loopback."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if missing := [name for name in DAEMONS if not shutil.which(name)]:
        pytest.fail(f"{missing[0]} isn't installed: apt-get install slurmctld slurmd slurm-client munge")
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o600)
    about = {
        "folder": folder,
        "host": socket.gethostname().partition(".")[0],
        "user": getpass.getuser(),
        "control_port": free_port(),
        "node_port": free_port(),
        "cores": os.cpu_count(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**21,
    }
    conf = folder / "slurm.conf"
    conf.write_text((Path(__file__).parent / "slurm.conf").read_text().format(**about))
    os.environ["SLURM_CONF"] = str(conf)
    munge = [f"--{name}={folder}/munge.{name.partition('-')[0]}" for name in
             ("key-file", "socket", "pid-file", "log-file", "seed-file")]  # fmt: skip
    started = []
    try:
        for call in (["munged", "--foreground", "--force", *munge], ["slurmctld", "-D"], ["slurmd", "-D"]):
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            started.append(subprocess.Popen(call, **quiet))
            time.sleep(1)
        wait_for_node(folder)
        yield folder
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(20)
        del os.environ["SLURM_CONF"]


def wait_for_node(folder: Path) -> None:
    """Until the node takes jobs."""
    for _ in range(60):
        call = ["sinfo", "--noheader", "--format=%T"]
        said = subprocess.run(call, capture_output=True, text=True, check=False).stdout
        if said.strip() == "idle":
            return
        time.sleep(1)
    logs = "\n".join((folder / f"{name}.log").read_text()[-2000:] for name in ("slurmctld", "slurmd"))
    pytest.fail(f"SLURM doesn't start: {said}\n{logs}")


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def jobs(folder: Path, queue: str = "main") -> Path:
    """A file of jobs."""
    file = folder / "slurm.toml"
    paths = os.environ.get("PYTHONPATH", "")
    file.write_text(JOBS.replace("QUEUE", queue).replace("LOGS", str(folder / "logs")).replace("PATHS", paths))
    return file


def test_a_run_on_two_jobs_answers_what_one_here_does(tmp_path, zoo_folder, slurm):
    lab = Lab(tmp_path, zoo_folder)
    here = lab.run(SMALL)
    lab.store = tmp_path / "other"
    certificates(tmp_path / "tls")
    file = jobs(tmp_path)
    script = flowgen("cluster", "script", file, "--tls", tmp_path / "tls")
    assert "#SBATCH -p main" in script
    where = ("--cluster", file, "--tls", tmp_path / "tls", "--workers", 2, "--wait", "5m")
    said = flowgen("run", tmp_path / "g.yaml", "--store", lab.store, "--runs", lab.runs, *where)
    assert f"computed {here.tally.computed()} items" in said
    there = lab.run(SMALL)
    assert computed(there) == {}
    assert float(abs(here.results.load().image - there.results.load().image).max()) < 1e-4
    assert len(list((tmp_path / "logs").glob("*.err"))) == 2
    for _ in range(30):
        left = subprocess.run(["squeue", "--noheader"], capture_output=True, text=True, check=True).stdout
        if not left.strip():
            break
        time.sleep(1)
    assert not left.strip()


def test_a_job_whose_time_is_over_is_submitted_again(tmp_path, slurm):
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1s"}),
        client(Where(workers=2, cluster=str(jobs(tmp_path)), wait=300)) as connected,
    ):
        before = set(connected.nthreads())
        subprocess.run(["scancel", connected.cluster.workers["SLURMCluster-0"].job_id], check=True)
        while len(set(connected.nthreads()) - before) < 1:
            time.sleep(1)
        connected.wait_for_workers(2, timeout=300)
        assert sorted(connected.cluster.workers) == ["SLURMCluster-1", "SLURMCluster-2"]


def test_a_job_that_slurm_refuses_is_said_in_its_words(tmp_path, slurm):
    with pytest.raises(UserError) as caught, client(Where(cluster=str(jobs(tmp_path, "nowhere")))):
        pass
    assert "the system takes no such job" in str(caught.value)
    assert "invalid partition" in str(caught.value)
