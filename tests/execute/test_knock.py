"""What answers at a cluster's address: what is none is told from what starts, and the wait is kept."""

import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from clusters import HOST
from distributed import Client, LocalCluster

from flowgen.errors import UserError
from flowgen.execute.clusters import Where
from flowgen.execute.clusters.certificates import make
from flowgen.execute.clusters.running import Patient, running


def local(**options):
    """A scheduler without TLS, in this process."""
    fixed = {"n_workers": 0, "processes": False, "protocol": "tcp://", "dashboard_address": None}
    return LocalCluster(host=HOST, **fixed, **options)


@contextmanager
def serving(greeting=b""):
    """The port of a server that takes connections, says something first, or nothing, and keeps them."""
    taken = []
    with socket.create_server((HOST, 0)) as server:

        def greet():
            with suppress(OSError):
                while True:
                    taken.append(server.accept()[0])
                    taken[-1].sendall(greeting)

        threading.Thread(target=greet, daemon=True).start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for connection in taken:
                connection.close()


@contextmanager
def web():
    """The port of a web server."""
    with HTTPServer((HOST, 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A set of certificates."""
    folder = tmp_path_factory.mktemp("tls") / "set"
    make(folder)
    return folder


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
@pytest.mark.parametrize(
    ("server", "said"),
    [
        (lambda: serving(b"SSH-2.0-OpenSSH_9.6\r\n"), "another server, which begins with 'SSH-2.0-OpenSSH_9.6'"),
        (lambda: serving(), "within 1 s: it takes connections and says nothing"),
        (web, "a web server"),
    ],
)
def test_another_kind_of_server_is_said_to_be_none(server, said, scheme, tls):
    with server() as port, pytest.raises(UserError) as caught:
        running(Where(cluster=f"{scheme}://{HOST}:{port}", tls=tls, wait=1))
    assert str(caught.value).startswith(f"no Dask scheduler answers at {scheme}://{HOST}:{port}")
    assert said in str(caught.value)


def test_a_scheduler_without_tls_is_told_from_one_with(tls):
    with local() as cluster, pytest.raises(UserError, match="speaks without TLS"):
        running(Where(cluster=cluster.scheduler_address.replace("tcp", "tls"), tls=tls, wait=5))


def test_a_scheduler_that_dies_while_one_connects_is_tried_again():
    with ThreadPoolExecutor() as aside, socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        found = aside.submit(running, Where(cluster=f"tcp://{HOST}:{port}", wait=60))
        for _ in range(2):
            connection, _ = server.accept()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()  # "Connection reset by peer"
        server.close()
        with local(scheduler_port=port) as cluster, Client(cluster), found.result() as connected:
            assert connected.scheduler_info()["workers"] == {}


def test_a_scheduler_that_falls_silent_as_hands_are_shaken_keeps_nobody():
    with serving() as port, pytest.raises(TimeoutError):
        Patient(f"tcp://{HOST}:{port}", timeout=1)


def test_files_that_are_no_certificates_are_said(tmp_path, tls):
    (tmp_path / "bad").mkdir()
    for file in tls.iterdir():
        (tmp_path / "bad" / file.name).write_text("nothing")
    with pytest.raises(UserError, match="aren't a set of certificates"):
        running(Where(cluster=f"tls://{HOST}:1", tls=tmp_path / "bad", wait=1))
