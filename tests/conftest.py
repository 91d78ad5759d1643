"""Small models that every test may use: the shipped layouts, weights drawn at random."""

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
