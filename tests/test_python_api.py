"""Graphs written in Python, and a node of the user's own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small import SMALL, Lab

import flowgen
from flowgen.errors import UserError


def test_a_graph_in_python_is_the_graph_of_the_file(tmp_path, zoo_folder):
    lab = Lab(tmp_path, zoo_folder)
    graph = flowgen.Graph("the small graph", folder=tmp_path)
    graph.sweep(prompt=["a red three", "a blue seven on a yellow background"], guidance=[1, 4], seed=range(3))
    digits = graph.node("digits", "model", from_="ZOO/digits")
    graph.defaults(model=digits)
    text = graph.node("text", "encoder.text", text="$prompt")
    empty = graph.node("empty", "encoder.text", text="")
    noise = graph.node("noise", "noise", seed="$seed", per=["prompt"])
    sampler = graph.node("sampler", "scheduler.ddim", start=noise, prediction="$guided", steps=4)
    cond = graph.node("cond", "denoiser", x=sampler["x"], context=text)
    uncond = graph.node("uncond", "denoiser", x=sampler["x"], context=empty)
    graph.node("guided", "guidance.cfg", cond=cond, uncond=uncond, scale="$guidance")
    graph.node("image", "decoder.vae", latent=sampler)
    graph.outputs("image")
    lab.run(SMALL)
    assert graph.load().plan(lab.store).compute == 0
    file = tmp_path / "written.yaml"
    file.write_text(graph.yaml())
    assert flowgen.load(file).plan(lab.store).compute == 0


def test_an_input_can_be_set(tmp_path, zoo_folder):
    lab = Lab(tmp_path, zoo_folder)
    run = lab.run(guidance=4, seed=1)
    assert run.results.sizes == {"prompt": 2, "guidance": 1, "seed": 1, "channel": 3, "y": 32, "x": 32}
    assert run.results.seed.values.tolist() == [1]
    assert np.isfinite(run.results.fid.values).all()
    (warning,) = run.results.attrs["warnings"]
    assert "'fid' pools 2 points, and metric.fid needs 65" in warning


def test_a_name_stands_for_one_node():
    graph = flowgen.Graph()
    graph.node("n", "noise", seed=1)
    with pytest.raises(UserError, match="the graph has a node 'n' already"):
        graph.node("n", "noise", seed=2)


def test_numbers_of_numpy_are_numbers(tmp_path, zoo_folder):
    lab = Lab(tmp_path, zoo_folder)
    plain = lab.load(SMALL, guidance=4).document
    lab.load(SMALL)
    swept = {"seed": np.arange(3)}
    found = flowgen.load(tmp_path / "g.yaml", set={"guidance": np.int64(4)}, sweep=swept).document
    assert found.axes["seed"].labels == plain.axes["seed"].labels == (0, 1, 2)
    assert [type(v) for axis in found.axes.values() for v in axis.labels] == [str, str, int, int, int, int]
    graph = flowgen.Graph().sweep(eta=np.linspace(0, 1, 3))
    graph.node("n", "noise", seed=np.int32(5))
    assert graph.data["sweep"]["eta"] == [0.0, 0.5, 1.0]
    assert "seed: 5" in graph.yaml()
    with pytest.raises(UserError, match="the axis 'eta' is a list or a mapping"):
        graph.sweep(eta=3)


def test_set_gives_one_value(tmp_path, zoo_folder):
    with pytest.raises(UserError, match=r"--set gives 'seed' one value, not \[1, 2\]\n  --sweep seed=1,2"):
        Lab(tmp_path, zoo_folder).load(SMALL, seed=[1, 2])
    with pytest.raises(UserError, match="'set' takes names, which are texts, not 1"):
        flowgen.load(tmp_path / "g.yaml", set={1: 2})


def test_numbers_of_items_and_workers_may_be_of_numpy(tmp_path, zoo_folder):
    experiment = Lab(tmp_path, zoo_folder).load(SMALL)
    assert experiment.defaulted(None, np.int64(2), None, np.uint8(1))[1::2] == (2, 1)
    with pytest.raises(UserError, match=r"'batch' is a whole number of at least 1, not 2\.0"):
        experiment.plan(tmp_path / "store", batch=np.float32(2))


def test_a_question_is_a_text(tmp_path, zoo_folder):
    lab = Lab(tmp_path, zoo_folder)
    with pytest.raises(UserError, match=r"a question is a text, not None\n  NODE or NODE\[axis=label"):
        lab.load(SMALL).why(None, lab.store, lab.runs)


SCRIPT = """\
import flowgen
from flowgen.node import node
from toys import Number

print("begins")

@node("mine.twice", stored=True)
def twice(of: Number) -> Number:
    return Number(of.data * 2)

graph = flowgen.Graph("doubled").sweep(value=[1, 2, 3, 4])
one = graph.node("one", "toy.number", value="$value")
graph.node("two", "mine.twice", of=one)
graph.outputs("two")
run = graph.load().run("store", "runs", workers=2, batch=1)
print(run.results.two.values.ravel().tolist())
"""


def test_workers_leave_the_script_that_starts_them_alone(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    call = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": paths}, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "script.py"], timeout=300, **call)
    assert done.stdout.splitlines() == ["begins", "[2.0, 4.0, 6.0, 8.0]"], done.stderr
