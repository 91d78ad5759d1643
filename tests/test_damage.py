"""Damaged blocks, runs that are stopped, and runs that share a store."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from small import SMALL, Lab, computed

from flowgen.execute.progress import Silent
from flowgen.execute.task import open_store

IMAGES = SMALL.replace("[image, clip, fid]", "[image]")


@pytest.fixture
def lab(tmp_path, zoo_folder):
    return Lab(tmp_path, zoo_folder)


def forget(lab):
    """As if this process had never seen the store."""
    open_store.cache_clear()


class Notes(Silent):
    def __init__(self):
        self.said = []

    def note(self, message):
        self.said.append(message)


def test_a_flipped_bit_is_computed_again_and_said(lab):
    whole = lab.run(SMALL).results.load()
    store = open_store(str(lab.store))
    (block,) = {p.block for p in store.find([k.decode() for k in lab.plan().keys["image"].values.ravel()]).values()}
    chunk = next(path for path in (lab.store / "blocks" / block[:2] / block).rglob("c.*") if path.is_file())
    data = bytearray(chunk.read_bytes())
    data[100] ^= 1
    chunk.write_bytes(bytes(data))
    forget(lab)
    notes = Notes()
    run = lab.run(
        SMALL.replace("text: $prompt}\n  features", "text: a blue one}\n  features"), options={"events": notes}
    )
    again = run.results.load()
    assert any("damaged" in said and "other content than written" in said for said in notes.said)
    assert computed(run)["image"] == 12
    assert np.abs(again.image.values - whole.image.values).max() < 1e-4
    assert np.isfinite(again["clip"].values).all()


def test_two_runs_at_once_share_a_store(lab):
    lab.load(SMALL)
    call = [sys.executable, "-c", "from flowgen.cli import main; main()", "run", "g.yaml", "--store", "store"]
    runs = [
        subprocess.Popen(
            [*call, "--runs", name], cwd=lab.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for name in ("one", "two")
    ]
    for run in runs:
        _, said = run.communicate(timeout=200)
        assert run.returncode == 0, said
    import xarray

    one, two = (
        xarray.open_zarr(next((lab.folder / name).glob("*")) / "results.zarr").load() for name in ("one", "two")
    )
    for name in one:
        assert np.allclose(one[name], two[name], atol=1e-4)
    assert open_store(str(lab.store)).verify() == []


def test_a_stopped_run_says_so_and_keeps_what_it_has(lab):
    text = IMAGES.replace("seed: {range: 3}", "seed: {range: 500}").replace("steps: 4", "steps: 50")
    lab.load(text)
    call = [sys.executable, "-u", "-c", "from flowgen.cli import main; main()", "run", "g.yaml", "--store", "store"]
    run = subprocess.Popen(call, cwd=lab.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in run.stdout:
        if line.startswith("text: 2/2"):
            break
    time.sleep(3)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "stopped; what was computed is kept" in said
    assert "Traceback" not in said
    assert "text" not in {n for n, p in lab.load(text).plan(lab.store).nodes.items() if p.compute}
