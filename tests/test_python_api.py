"""Graphs written in Python, and a node of the user's own."""

import numpy as np
from small import SMALL, Lab

import flowgen


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
