"""A block of a node pack that isn't installed is not damaged, and stays."""

import subprocess
import sys

import pytest
import torch

from flowgen.store import Store
from flowgen.store.block import Unknown
from flowgen.values import Latent
from flowgen.values.record import REGISTRY


def test_a_record_of_a_pack_is_read_by_a_process_that_has_not_imported_it(tmp_path):
    from flowgen_nodes.schedulers.state import DiffusionState

    state = DiffusionState(torch.ones(2, 4, 8, 8), torch.zeros(2, 16, dtype=torch.uint8), "space")
    Store(tmp_path).write(["a" * 40, "b" * 40], {"state": state}, {"type": "scheduler.ddim"})
    code = (
        "import sys; from pathlib import Path; from flowgen.store import Store\n"
        f"((rows, found),) = Store(Path({str(tmp_path)!r})).read(['b' * 40], 'state')\n"
        "assert type(found).__name__ == 'DiffusionState' and bool((found.x == 1).all())"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_record_that_nobody_knows_is_an_error_and_no_damage(tmp_path, monkeypatch):
    Store(tmp_path).write(["a" * 40], {"value": Latent(torch.ones(1, 4, 8, 8), "space")}, {"type": "their.node"})
    monkeypatch.delitem(REGISTRY, "Latent")
    store = Store(tmp_path)
    with pytest.raises(Unknown, match="the store holds a 'Latent', which this installation doesn't know"):
        store.read(["a" * 40], "value")
    assert store.verify() == []
    monkeypatch.undo()
    assert len(Store(tmp_path).read(["a" * 40], "value")) == 1
