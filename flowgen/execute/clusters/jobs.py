"""Jobs of a batch system (SLURM, PBS, LSF, ...) as workers, through dask-jobqueue; a file as slurm.toml says which."""

from __future__ import annotations

import importlib
import logging
import shlex
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from dask.utils import parse_bytes
from distributed.utils import get_ip_interface

from flowgen.config.files import File, read
from flowgen.config.kinds import Kind, whole
from flowgen.errors import UserError
from flowgen.execute.clusters.certificates import security
from flowgen.execute.clusters.processes import POOLS
from flowgen.execute.clusters.quiet import QuietScheduler
from flowgen.execute.clusters.resubmitting import REFUSED, Resubmitting, lines
from flowgen.execute.clusters.running import is_loopback
from flowgen.execute.clusters.where import Where, nameable
from flowgen.execute.placement import GPU
from flowgen.execute.pythons import SAFE

SYSTEMS = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "lsf": "LSFCluster",
    "sge": "SGECluster",
    "oar": "OARCluster",
    "moab": "MoabCluster",
}
"""dask-jobqueue's classes; HTCondor's takes no lines for the system"""


def text(value: Any, folder: Path) -> str:
    """A text that isn't empty."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError("takes a text")
    return value


def machine(value: Any, folder: Path) -> str:
    """A machine's name or address."""
    if not nameable(text(value, folder)):
        raise ValueError("takes a machine's name or address")
    return str(value)


def memory(value: Any, folder: Path) -> str:
    """A size, as Dask reads it."""
    try:
        if parse_bytes(text(value, folder)) < 1:
            raise ValueError
    except (ValueError, OverflowError):
        raise ValueError("takes a size, as 64GB") from None
    return str(value)


def texts(value: Any, folder: Path) -> list[str]:
    """A list of lines."""
    if not isinstance(value, list) or not all(
        isinstance(entry, str) and not {"\n", "\0"} & set(entry) for entry in value
    ):
        raise ValueError("takes a list of lines")
    return value


def system(value: Any, folder: Path) -> str:
    """A batch system."""
    if value not in SYSTEMS:
        raise ValueError(f"takes {', '.join(SYSTEMS)}")
    return str(value)


def yes(value: Any, folder: Path) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("takes true or false")
    return value


KINDS = (
    Kind("system", system, None, None, "the batch system"),
    Kind("jobs", whole(1), None, None, "how many jobs to submit"),
    Kind("memory", memory, None, None, "memory of a job, as 64GB"),
    Kind("cores", whole(1), 1, None, "cores of a job, divided among its workers"),
    Kind("processes", whole(1), 1, None, "workers in a job"),
    Kind("gpu", yes, False, None, "whether a job has a GPU, asked for by a line of 'directives'; one worker in a job"),
    Kind("host", machine, None, None, "this machine as the jobs reach it, a name or an address"),
    Kind("interface", text, None, None, "the network interface of this machine and the jobs', as ib0"),
    Kind("queue", text, None, None, "queue or partition"),
    Kind("walltime", text, None, None, "how long a job may take, as the system writes it"),
    Kind("directives", texts, [], None, "more lines for the system, as --gres=gpu:1"),
    Kind("prologue", texts, [], None, "shell lines before a worker starts, as module load cuda"),
    Kind("python", text, None, None, "the jobs' Python; this one by default"),
    Kind("log_directory", text, None, None, "folder of the jobs' output"),
)
"""what stands in the file"""
REQUIRED = ("system", "jobs", "memory")


@dataclass(frozen=True, slots=True)
class Jobs:
    """A file of jobs, read."""

    file: File
    values: dict[str, Any]

    @property
    def workers(self) -> int:
        """Workers of all jobs."""
        return int(self.values["jobs"] * self.values["processes"])

    def address(self) -> str:
        """Where the jobs find this machine. Raises UserError for an interface that it hasn't."""
        if self.values["host"]:
            return str(self.values["host"])
        try:
            return str(get_ip_interface(self.values["interface"]))
        except ValueError as error:  # says which there are
            raise UserError(f"this machine has no such interface: {error}", self.file.places["interface"]) from None

    def stays_here(self) -> bool:
        """Whether only jobs on this machine itself can come: its address is loopback."""
        try:
            return is_loopback(self.address())
        except UserError:
            return False  # it may be another machine's, whose script is looked at


def read_jobs(path: Path) -> Jobs:
    """A file of jobs. Raises UserError with file:line:column."""
    file = read(path, list(KINDS))
    if missing := [name for name in REQUIRED if name not in file.values]:
        raise UserError(
            f"{path} doesn't say '{missing[0]}'", hint=next(k.meaning for k in KINDS if k.name == missing[0])
        )
    values = {kind.name: file.values.get(kind.name, kind.default) for kind in KINDS}
    if not values["host"] and not values["interface"]:
        hint = "'host', this machine's name or address, or 'interface', as ib0"
        raise UserError(f"{path} doesn't say where the jobs reach this machine", hint=hint)
    if values["host"] and values["interface"]:
        hint = "'host' names this machine's address, 'interface' has it looked up: one of them says it"
        raise UserError("'interface' stands beside 'host'", file.places["interface"], hint)
    if values["gpu"] and values["processes"] > 1:
        hint = "more jobs instead: each job's worker has its GPU to itself"
        raise UserError("jobs with a GPU have one worker each", file.places["processes"], hint)
    return Jobs(file, values)


def jobs(where: Where) -> Resubmitting:
    """A scheduler in this process, and jobs submitted. Raises UserError where the system takes none."""
    kind, found = kind_of(where)
    submit = str(kind.job_cls.submit_command).split()[0]
    if shutil.which(submit) is None:
        raise UserError(f"this machine has no '{submit}' to submit jobs with", hint="run flowgen on one that has")
    host = found.address()
    with described(found):
        cluster: Resubmitting = type(kind.__name__, (Resubmitting, kind), {})(
            **options(where, found),
            job_cls=one_at_a_time(kind.job_cls),
            scheduler_cls=QuietScheduler,
            scheduler_options={"dashboard": False, "host": host},
            silence_logs=logging.CRITICAL,
        )
    try:
        cluster.sync(cluster.submit, found.values["jobs"])
    except REFUSED as error:
        cluster.forget_refused()
        cluster.close()
        raise UserError(f"{where.cluster}: the system takes no such job", hint="\n  ".join(lines(error))) from None
    return cluster


def job_script(where: Where) -> str:
    """What would be submitted. Raises UserError."""
    kind, found = kind_of(where)
    chosen = options(where, found)
    with described(found):
        job = one_at_a_time(kind.job_cls)(f"{chosen['protocol']}SCHEDULER:PORT", name="flowgen", **chosen)
        return str(job.job_script())


def one_at_a_time(job: type) -> type:
    """dask-jobqueue's job whose workers take one task at a time, which uses the cores itself; the batch system looks
    after the memory.
    """
    return type(job.__name__, (job,), {"worker_process_threads": 1, "worker_process_memory": 0})


@contextmanager
def described(found: Jobs) -> Iterator[None]:
    """Raises UserError for what dask-jobqueue doesn't understand."""
    try:
        yield
    except (TypeError, ValueError) as error:
        name = found.values["system"]
        raise UserError(f"not for {name}: {error}", found.file.places["system"]) from None


def kind_of(where: Where) -> tuple[Any, Jobs]:
    """dask-jobqueue's class, and the file. Raises UserError."""
    found = read_jobs(Path(where.cluster))
    try:
        queues = jobqueue()
    except ImportError:
        hint = "pip install 'flowgen[jobqueue]'"
        raise UserError("jobs are submitted through the package 'dask-jobqueue'", hint=hint) from None
    if where.tls is None and not where.insecure and not found.stays_here():
        raise UserError(
            f"without TLS {where.cluster} opens this machine to its network: who reaches it can run code here, as you",
            hint="--tls FOLDER ('flowgen cluster certificates FOLDER' makes one), or accept it with --insecure",
        )
    return getattr(queues, SYSTEMS[found.values["system"]]), found


def jobqueue() -> ModuleType:
    """dask-jobqueue, without the handler of Ctrl-C that importing it installs. Raises ImportError."""
    before = signal.getsignal(signal.SIGINT)
    found = importlib.import_module("dask_jobqueue")
    if signal.getsignal(signal.SIGINT) is not before:
        signal.signal(signal.SIGINT, before)
    return found


def options(where: Where, found: Jobs) -> dict[str, Any]:
    """What dask-jobqueue is told of a job; the rest is in the user's own configuration of it."""
    values, secured = found.values, security(where.tls) if where.tls else None
    if where.tls and shlex.quote(folder := str(where.tls.absolute())) != folder:  # dask-jobqueue quotes nothing
        raise UserError(f"a job script can't name the folder '{folder}'", hint="one without spaces and signs can be")
    threads = max(1, values["cores"] // values["processes"])
    known = ("cores", "processes", "memory", "interface", "python", "queue", "walltime", "log_directory")
    return {
        **{name: values[name] for name in known if values[name] is not None},
        "job_name": "flowgen",
        "protocol": "tls://" if secured else "tcp://",
        "security": secured,
        "worker_extra_args": ["--no-dashboard", *(["--resources", f"{GPU}=1"] if values["gpu"] else [])],
        "job_extra_directives": values["directives"],
        "job_script_prologue": [
            f"export {SAFE}=1",  # the current folder is no place for modules
            *(f"export {name}={threads}" for name in POOLS),
            *values["prologue"],
        ],
    }
