"""Places for stores: a folder, and a bucket of an S3 server that this process runs."""

import urllib.request
import uuid

import pytest
from s3 import ANOTHER, S3, environment

from flowgen.store import patience


@pytest.fixture(scope="session")
def endpoint():
    """The server; None where the tests use another one."""
    if ANOTHER:
        urllib.request.urlopen(urllib.request.Request(f"{ANOTHER}/bucket", method="PUT")).close()
        yield None
        return
    server = S3()
    yield server
    server.close()


@pytest.fixture
def url(endpoint, monkeypatch, tmp_path):
    """An empty place in object storage, and a cache folder of this machine's own."""
    for name, value in environment(ANOTHER or endpoint.url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(patience, "PATIENCE", 3.0)
    yield f"s3://bucket/{uuid.uuid4().hex}"
    if endpoint:
        endpoint.before = lambda method, key: None


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path):
    """Where a store may lie."""
    return tmp_path / "store" if request.param == "folder" else request.getfixturevalue("url")
