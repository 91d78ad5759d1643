"""Where a run's tasks go: what makes no sense is said before anything starts."""

import os

import pytest
from click.testing import CliRunner
from small import Lab

from flowgen.cli import flowgen as command
from flowgen.config import resolve
from flowgen.errors import UserError
from flowgen.execute.clusters import chosen

CORES = os.cpu_count()


@pytest.mark.parametrize(
    ("said", "wrong", "hint"),
    [
        ({"tls": "certs"}, "'tls' is about the way to a cluster", "--cluster tls://HOST:PORT"),
        ({"insecure": True, "workers": 2}, "'insecure' is about the way to a cluster", "need neither"),
        ({"insecure": True, "cluster": "gpus"}, "'insecure' is about the way to a cluster", "a file of jobs"),
        ({"workers": 5_000_000}, f"5000000 workers on this machine, which has {CORES} cores", "are started"),
        ({"cluster": "127.0.0.1:8786"}, "'127.0.0.1:8786' is no cluster", "tcp://127.0.0.1:8786, or tls://127.0.0.1"),
        ({"cluster": "/tmp/login1:8786"}, "'login1:8786' is no cluster", "tcp://login1:8786"),
        ({"cluster": "tcp://login1"}, "'tcp://login1' lacks the scheduler's port", "--cluster tcp://login1:8786"),
        ({"cluster": "tls://[::1]"}, "'tls://[::1]' lacks the scheduler's port", "--cluster tls://[::1]:8786"),
        ({"cluster": "tcp://login1:99999"}, "'tcp://login1:99999' is no cluster", "tcp://HOST:PORT"),
        ({"cluster": "tcp://127.0.0.1..:8786"}, "'tcp://127.0.0.1..:8786' names no machine", "1 to 63 characters"),
        ({"cluster": f"tls://{'a' * 80}.x:1"}, "names no machine", "1 to 63 characters"),
        ({"cluster": "tcp://a\0b:1"}, "'tcp://a b:1' names no machine", ""),
        ({"cluster": "GPUS"}, "'GPUS' is no cluster", "did you mean 'gpus'?"),
        ({"cluster": "slum.toml"}, "'slum.toml' is no cluster, and no file", "or a file as slurm.toml"),
        ({"cluster": "slum.toml", "workers": 2}, "'slum.toml' is no cluster, and no file", "tcp://HOST:PORT"),
    ],
)
def test_what_makes_no_sense(said, wrong, hint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        chosen(resolve(), **said)
    assert wrong in caught.value.message
    assert hint in caught.value.hint


def test_certificates_of_the_users_own_file_are_for_the_clusters_that_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWGEN_TLS", str(tmp_path / "certs"))
    assert chosen(resolve()).local
    assert chosen(resolve(), cluster="tls://127.0.0.1:8786").tls == tmp_path / "certs"


def test_no_gpus_is_said_of_gpus(tmp_path, zoo_folder, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    Lab(tmp_path, zoo_folder).load()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="this machine has no GPU for '--cluster gpus'"):
        CliRunner().invoke(command, ["run", "--cluster", "gpus", "g.yaml"], catch_exceptions=False)
    assert not (tmp_path / "runs").exists()
