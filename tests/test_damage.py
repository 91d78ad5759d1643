"""Damaged blocks, runs that are stopped, and runs that share a store."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray
from small import SMALL, Lab, computed
from test_crash_often import TOY

from flowgen.execute.progress import Silent
from flowgen.execute.task import open_store
from flowgen.results.runs import look, runs_in

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
    file = lab.store / "blocks" / block[:2] / f"{block}.zip"
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1  # of a picture
    file.write_bytes(bytes(data))
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


NUMBERS = TOY.replace("range: 6", "range: 120").replace("[third]", "[first, second, third]")
DAMAGES = 20


def hurt(rng, path):
    """A bit of a block changes, or the file is cut short: anywhere, so in numbers, metadata or the archive's frame."""
    data = bytearray(path.read_bytes())
    if rng.random() < 0.2:
        del data[rng.randrange(len(data)) :]
    else:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(data))


def hurt_index(lab, where):
    """The index's header or the text of its schema becomes something else."""
    (path,) = lab.store.glob("index-*.sqlite")
    data = path.read_bytes()
    at = data.index(where)
    path.write_bytes(data[:at] + bytes([0xA0] * len(where)) + data[at + len(where) :])
    for more in lab.store.glob("index-*.sqlite-*"):
        more.unlink()


@pytest.mark.parametrize("where", [b"", b"SQLite format 3", b"CREATE TABLE"])
def test_many_damages_are_said_and_exactly_what_they_took_is_computed_again(lab, monkeypatch, where):
    monkeypatch.setattr("flowgen.plan.cuts.PARCEL_FLOPS", 1.0)
    rng = random.Random(repr(where))
    whole = lab.run(NUMBERS, options={"batch": 4}).results.load()
    store = open_store(str(lab.store))
    items = {about.name: about.items for about in store.index.blocks()}
    chosen = rng.sample(sorted(items), DAMAGES)
    store.close()
    for name in chosen:
        hurt(rng, lab.store / "blocks" / name[:2] / f"{name}.zip")
    if where:
        hurt_index(lab, where)
    forget(lab)
    notes = Notes()
    again = lab.run(NUMBERS, options={"batch": 4, "events": notes})
    assert again.tally.computed() == sum(items[name] for name in chosen)
    assert again.results.load().identical(whole)
    store = open_store(str(lab.store))
    assert set(chosen) == {path.name.partition(".")[0][:40] for path in (lab.store / "damaged").iterdir()}
    assert store.verify() == []
    said = "".join(notes.said)  # an index that is made anew reads what blocks say of themselves before a run begins
    assert bool(said) and (where or all(name[:8] in said for name in chosen))
    assert where or all(said in again.tally.notes for said in notes.said)


LONG = IMAGES.replace("seed: {range: 3}", "seed: {range: 6}").replace("steps: 4", "steps: 15")
TOTAL = 2 + 1 + 2 * 2 * 6 * 2
"""texts, empty; latents and images of two prompts, two scales and six seeds"""


def start(lab, runs, seeds, *more):
    """A run in a process of its own."""
    call = [sys.executable, "-u", "-c", "from flowgen.cli import main; main()", "run", "g.yaml", "--store", "store"]
    call += ["--runs", runs, "--batch", "4", "--where", f"seed={seeds}", *more]
    return subprocess.Popen(call, cwd=lab.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def counts(lab, runs):
    """Items that a finished run computed."""
    (file,) = (lab.folder / runs).glob("*/provenance.json")
    return sum(node["computed"] for node in json.loads(file.read_text())["nodes"].values())


@pytest.mark.slow
def test_two_runs_at_once_compute_each_item_once(lab):
    lab.load(LONG)
    runs = [start(lab, "one", "0..3"), start(lab, "two", "2..5")]
    said = [run.communicate(timeout=300) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert counts(lab, "one") + counts(lab, "two") == TOTAL
    store = open_store(str(lab.store))
    assert sum(len(store.manifest(name)["keys"]) for name in store.on_disk()) == TOTAL
    assert store.verify() == []
    one, two = (
        xarray.open_zarr(next((lab.folder / name).glob("*")) / "results.zarr").load() for name in ("one", "two")
    )
    assert one.image.sel(seed=[2, 3]).equals(two.image.sel(seed=[2, 3]))


@pytest.mark.slow
def test_what_a_killed_run_was_computing_is_taken_over(lab):
    lab.load(LONG.replace("steps: 15", "steps: 100").replace("{range: 6}", "{range: 1}"))
    first = start(lab, "one", "0")
    while not claims(lab):
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    first.send_signal(signal.SIGSTOP)  # so that it neither ends nor, below, expires before the second run is there
    for sign in (lab.store / "leases").glob("*.sign"):
        os.utime(sign, (time.time() + 1000, time.time() + 1000))
    second = start(lab, "two", "0")
    for line in second.stdout:
        if "are being computed by another run; waiting for them" in line:
            break
    first.kill()
    first.communicate()
    _, said = second.communicate(timeout=300)
    assert second.returncode == 0, said
    assert counts(lab, "two") >= 8
    assert open_store(str(lab.store)).verify() == []


def claims(lab):
    """How many items of the loop are claimed: what comes before it is stored."""
    store = open_store(str(lab.store))
    store.sync()
    texts = sum(about.items for about in store.index.blocks() if about.type == "encoder.text")
    return texts >= 3 and any(path.stat().st_size for path in (lab.store / "leases").glob("*.claim"))


def test_a_stopped_run_says_so_and_keeps_what_it_has(lab):
    text = IMAGES.replace("seed: {range: 3}", "seed: {range: 500}").replace("steps: 4", "steps: 50")
    lab.load(text)
    call = [sys.executable, "-u", "-c", "from flowgen.cli import main; main()", "run", "g.yaml", "--store", "store"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    run = subprocess.Popen([*call, "--workers", "1"], cwd=lab.folder, start_new_session=True, **pipes)
    for line in run.stdout:
        if line.startswith("text: 2/2"):
            break
    time.sleep(3)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to the worker's process too
    _, said = run.communicate(timeout=120)
    assert run.returncode == 130
    (seen,) = map(look, runs_in(lab.folder / "runs"))
    assert (seen.state, seen.gone) == ("stopped", False)
    assert seen.course.nodes["text"].done == 2
    assert f"stopped; {seen.course.kept} of {seen.course.total} items are computed and kept" in said
    assert "Traceback" not in said
    assert "text" not in {n for n, p in lab.load(text).plan(lab.store).nodes.items() if p.compute}


STARTS_SLOWLY = """\
from flowgen.cli import main
from flowgen.execute.clusters import forking

forking.networks = lambda: ["takes_a_minute"]
main()
"""


STARTS_AGAIN = STARTS_SLOWLY.replace("main()", "connect.forsake = lambda: None\nmain()").replace(
    "forking\n", "connect, forking\n", 1
)
"""whose first signal comes while a nanny starts a process anew"""


def start_slowly(lab, script):
    """A run whose worker processes take a minute of imports, in which it is."""
    lab.load(IMAGES)
    slow = "import pathlib, time\npathlib.Path('begun').touch()\ntime.sleep(60)\n"
    (lab.folder / "takes_a_minute.py").write_text(slow)
    call = [sys.executable, "-c", script, "run", "g.yaml", "--store", "store", "--workers", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    paths = os.pathsep.join([str(lab.folder), os.environ.get("PYTHONPATH", "")])
    run = subprocess.Popen(call, cwd=lab.folder, env={**os.environ, "PYTHONPATH": paths}, **pipes)
    while not (lab.folder / "begun").exists():
        assert run.poll() is None, run.communicate()
        time.sleep(0.05)
    return run


@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGTERM])
def test_a_run_whose_workers_still_start_ends_at_once_and_leaves_nothing_behind(lab, word):
    run = start_slowly(lab, STARTS_SLOWLY)
    asked = time.monotonic()
    os.killpg(run.pid, word) if word == signal.SIGINT else run.send_signal(word)
    _, said = run.communicate(timeout=120)  # until no process holds its stderr
    assert time.monotonic() - asked < 30
    assert run.returncode == 130
    assert said.splitlines()[-1] == "stopped; 0 of 27 items are computed and kept; the same command goes on from there"


def test_the_second_signal_ends_a_run_and_leaves_nothing_behind(lab):
    run = start_slowly(lab, STARTS_AGAIN)
    asked = time.monotonic()
    for _ in range(2):
        run.send_signal(signal.SIGTERM)
        time.sleep(0.5)
    _, said = run.communicate(timeout=120)  # until no process holds its stderr
    assert time.monotonic() - asked < 30
    assert run.returncode == 130
    assert "ended at once; what was published is kept" in said
