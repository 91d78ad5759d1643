"""Files of jobs and certificates: what docs/clusters.md shows is what is made, and what is wrong stands at its line."""

import re
import shlex
import signal
import ssl
import sys
from pathlib import Path

import dask
import psutil
import pytest
from clusters import certificates, flowgen
from distributed import Client, Security
from distributed.cli import dask_scheduler, dask_worker

from flowgen.cli import flowgen as command
from flowgen.errors import UserError
from flowgen.execute.clusters import Where
from flowgen.execute.clusters.certificates import CA, CERTIFICATE, KEY, make
from flowgen.execute.clusters.choosing import at_once
from flowgen.execute.clusters.gpus import turned
from flowgen.execute.clusters.jobs import SYSTEMS, job_script, read_jobs
from flowgen.execute.clusters.processes import on_loopback
from flowgen.execute.clusters.quiet import QUIET

PAGE = (Path(__file__).parents[2] / "docs/clusters.md").read_text(encoding="utf-8")
JOBS = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)[0]


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The page's file, its logs in a folder of the test's, which is the current one."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "slurm.toml"
    path.write_text(JOBS.replace("/shared/logs", str(tmp_path / "logs")))
    return path


def test_the_pages_commands_for_one_machine_and_for_asking():
    """Their options are there; tests/clusters.py starts a scheduler and workers by such commands."""
    lines = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)[0].splitlines()
    lines += [line.strip() for line in PAGE.splitlines() if line.startswith("    flowgen cluster check")]
    parsed = []
    for line in lines:
        words = [word for word in shlex.split(line.rstrip("&")) if not word.startswith("DASK_")]
        known = {"dask": {"scheduler": dask_scheduler.main, "worker": dask_worker.main}, "flowgen": command.commands}
        if words[0] in known:
            found, rest = known[words[0]][words[1]], words[2:]
            if words[1] == "cluster":
                found, rest = found.commands[rest[0]], rest[1:]
            parsed.append(found.make_context(words[1], rest).params)
    assert len(parsed) == len(lines) - 1  # and 'kill'
    assert {params.get("scheduler") for params in parsed} == {None, "tcp://127.0.0.1:8786"}


def test_the_pages_commands(file):
    options = certificates(Path("certs"))
    lines = [line.split()[1:] for line in PAGE.splitlines() if line.startswith("    flowgen cluster")]
    assert lines[0] == ["cluster", "certificates", "certs"]
    script = flowgen(*lines[1])
    for line in ("#SBATCH -p gpu", "#SBATCH --cpus-per-task=16", "#SBATCH -t 04:00:00", "#SBATCH --gres=gpu:1"):
        assert line in script
    assert "module load cuda\n" in script
    assert "export OMP_NUM_THREADS=16\n" in script
    assert "export PYTHONSAFEPATH=1\n" in script
    (command,) = [line for line in script.splitlines() if "dask_worker" in line]
    assert "tls://SCHEDULER:PORT" in command
    assert "--no-dashboard --resources GPU=1" in command
    assert re.findall(r"--(?:nthreads|memory-limit) \S+", command) == ["--nthreads 1", "--memory-limit 0"]
    assert all(str(Path(option).absolute()) in command for option in options if option.endswith(".pem"))
    shown = flowgen("cluster", "certificates", "others")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    block = next(text for kind, text in blocks if not kind)
    assert [line.strip() for line in block.splitlines()] == [
        line.strip().replace("others/", "certs/") for line in shown.splitlines() if "dask" in line or "--tls-ca" in line
    ]
    assert at_once(0, str(file)) == 8


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('system = "slurm"', 'system = "slum"', ":2:1: 'system' takes slurm, pbs, lsf, sge, oar, moab, not"),
        ("jobs = 8", "jobs = 0", ":3:1: 'jobs' takes a whole number of at least 1, not 0"),
        ("jobs = 8", "", "doesn't say 'jobs'"),
        ("gpu = true", "gpu = 1", ":6:1: 'gpu' takes true or false, not 1"),
        ("gpu = true", "gpu = true\nprocesses = 2", "jobs with a GPU have one worker each"),
        ("interface", "interfaces", ":7:1: unknown setting 'interfaces'"),
        ('interface = "ib0"', "", "doesn't say where the jobs reach this machine"),
        ('prologue = ["module load cuda"', 'prologue = ["a\\nb"', "'prologue' takes a list of lines"),
        ('memory = "128GB"', 'memory = "lots"', ":5:1: 'memory' takes a size, as 64GB, not 'lots'"),
        ('memory = "128GB"', 'memory = "1e400GB"', ":5:1: 'memory' takes a size, as 64GB, not '1e400GB'"),
        ('interface = "ib0"', 'host = "x..y"', ":7:1: 'host' takes a machine's name or address, not 'x..y'"),
        ('interface = "ib0"', f'host = "{"a" * 80}"', ":7:1: 'host' takes a machine's name or address, not 'aaa"),
        ('interface = "ib0"', 'host = "a\\u0000b"', ":7:1: 'host' takes a text"),
        ('interface = "ib0"', 'interface = "ib0"\nhost = "login1"', ":7:1: 'interface' stands beside 'host'"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(file, old, new, said):
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(UserError) as caught:
        job_script(Where(cluster=str(file), insecure=True))
    assert said in str(caught.value)


def test_jobs_without_tls_are_asked_for_or_stay_on_loopback(file):
    with pytest.raises(UserError, match="--insecure"):
        job_script(Where(cluster=str(file)))
    assert "tcp://SCHEDULER" in job_script(Where(cluster=str(file), insecure=True))
    loopback = next(name for name, found in psutil.net_if_addrs().items() if "127.0.0.1" in {a.address for a in found})
    for old, new in (('interface = "ib0"', 'host = "127.0.0.1"'), ('host = "127.0.0.1"', f'interface = "{loopback}"')):
        file.write_text(file.read_text().replace(old, new))
        assert "tcp://SCHEDULER" in job_script(Where(cluster=str(file)))


def test_a_folder_that_a_shell_would_read_otherwise_is_refused(file, tmp_path):
    make(tmp_path / "my certificates")
    with pytest.raises(UserError, match="a job script can't name the folder"):
        job_script(Where(cluster=str(file), tls=tmp_path / "my certificates"))


def test_an_interface_that_is_not_there_is_said_at_its_line(file):
    with pytest.raises(UserError, match=r":7:1: this machine has no such interface: 'ib0'"):
        read_jobs(file).address()


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_has_a_script(file, system):
    file.write_text(file.read_text().replace('"slurm"', f'"{system}"'))
    assert read_jobs(file).workers == 8
    assert "distributed.cli.dask_worker" in job_script(Where(cluster=str(file), insecure=True))


def test_interrupts_stay_as_they_were(file, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "dask_jobqueue"]:
        monkeypatch.delitem(sys.modules, name)  # its import takes Ctrl-C over
    before = signal.getsignal(signal.SIGINT)
    assert "dask" in job_script(Where(cluster=str(file), insecure=True))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_set_of_certificates_is_its_owners(tmp_path):
    make(tmp_path / "set", days=2)
    assert (tmp_path / "set").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "set" / KEY).stat().st_mode & 0o777 == 0o600
    context = ssl.create_default_context(cafile=str(tmp_path / "set" / CA))
    context.load_cert_chain(tmp_path / "set" / CERTIFICATE, tmp_path / "set" / KEY)  # the key fits
    assert len(context.get_ca_certs()) == 1
    assert "PRIVATE KEY" not in (tmp_path / "set" / CA).read_text()
    with pytest.raises(UserError, match=r"has a ca\.pem already"):
        make(tmp_path / "set")


def test_processes_of_one_machine_know_each_other_by_a_certificate():
    with dask.config.set(QUIET), on_loopback([]) as cluster:
        assert cluster.scheduler_address.startswith("tls://127.0.0.1:")
        with Client(cluster) as known:
            assert known.scheduler_info()["workers"] == {}
        with pytest.raises(OSError, match=r"certificate|alert|closed|Timed out"):
            Client(cluster.scheduler_address, security=Security.temporary(), timeout=5)


def test_each_process_has_its_own_gpu_first():
    assert turned(["0", "1", "2"]) == ["0,1,2", "1,2,0", "2,0,1"]
    assert turned(["GPU-a"]) == ["GPU-a"]
