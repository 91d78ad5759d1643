"""Small models that every test may use: the shipped layouts, weights drawn at random."""

import multiprocessing
import os
import urllib.request
import uuid
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def zoo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with digits/, digits-clip/, digits-classifier/ and digits-test/, untrained."""
    import torch  # seconds, which tests that need no model are spared
    from flowgen_nodes.zoo.digits.export import export, untrained, write_statistics

    folder = tmp_path_factory.mktemp("zoo")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        export(untrained(), folder)
        write_statistics(folder, (torch.rand(64, 3, 32, 32) * 2 - 1 for _ in range(4)))
    return folder


@pytest.fixture(scope="session", autouse=True)
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tiny models of families are written once, for every process of the tests; see tiny_models."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    os.environ["TINY_MODELS"] = str(shared / "tiny-models")


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests see neither the settings of who runs them nor variables of theirs."""
    for name in [name for name in os.environ if name.startswith("FLOWGEN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "no-config"))


@pytest.fixture(scope="session")
def endpoint():
    """A small S3 server in a thread of this process; None where the tests use another one."""
    from s3 import ANOTHER, S3

    if ANOTHER:
        urllib.request.urlopen(urllib.request.Request(f"{ANOTHER}/bucket", method="PUT")).close()
        yield None
        return
    server = S3()
    yield server
    server.close()


@pytest.fixture
def url(endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """An empty place in object storage, and a cache folder of this machine's own."""
    from s3 import ANOTHER, environment

    for name, value in environment(ANOTHER or endpoint.url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield f"s3://bucket/{uuid.uuid4().hex}"
    if endpoint:
        endpoint.before = lambda method, key: None


IMPORTED = (
    "flowgen.experiment",
    "flowgen_nodes",
    "diffusers.models.autoencoders.autoencoder_kl",
    "diffusers.models.unets.unet_2d_condition",
    "transformers.models.clip.modeling_clip",
    "transformers.models.clip.tokenization_clip",
    "accelerate",
    "dask.array",
    "distributed.deploy.spec",
    "matplotlib.backends.backend_svg",
)
"""what a run imports, some of it on its way: seconds, which processes that are killed in it are spared"""


@pytest.fixture(scope="session")
def server() -> ForkServerContext:
    """A server that forks after the imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    return context


LONG = ("test_docs", "test_damage", "test_crash", "test_crash_often", "test_batch_is_invisible", "test_family_graphs")
"""files with long tests; begun first, so that no process is left with one of them at the end"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first."""
    items.sort(key=lambda item: item.path.stem not in LONG)
