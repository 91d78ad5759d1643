"""Every loop of the standard pack resumes to the bit: in strict numerics, from states that a run which failed left."""

from __future__ import annotations

import pytest
from PIL import Image
from small import Lab
from test_checkpoints import stop_at

from flowgen.node import NodeType, node_types

STEPS, STOPS = 6, (1, 4)
"""steps of each loop, and at which it fails"""
VARIANTS = {
    "scheduler.ddim": ("", "eta: 1", "init: $latent, strength: 0.99", "renoise: $clear"),
    "scheduler.ddpm": ("", "variance: fixed_large"),
    "scheduler.deis": ("order: 1", "order: 3"),
    "scheduler.diffusers": (
        "class: UniPCMultistepScheduler, options: {solver_order: 3}",
        "class: DPMSolverMultistepScheduler, options: {algorithm_type: sde-dpmsolver++}",
        "class: PNDMScheduler",
    ),
    "scheduler.dpm_2m": ("", "solver: heun, sigmas: karras"),
    "scheduler.dpm_2m_sde": ("", "solver: heun"),
    "scheduler.dpm_3m": ("", "difference: exact"),
    "scheduler.edm": ("solver: euler", "churn: 2"),
    "scheduler.euler": ("", "renoise: $clear", "sigmas: exponential, until: 0.9"),
    "scheduler.lcm": ("original_steps: 50",),
    "scheduler.lms": ("order: 2", "order: 4"),
    "scheduler.tcd": ("eta: 0.3, original_steps: 50", "eta: 1, original_steps: 50"),
    "scheduler.unipc": ("order: 1", "order: 3", "order: 2, variant: bh1"),
}
"""parameters that each loop is tried with, where its defaults alone aren't all of it"""
PORTS = {"start": "$noise", "init": "$latent"}
"""what feeds a loop"""
GRAPH = """\
flowgen: 1
numerics: strict
defaults: {model: $digits}
nodes:
  digits: {type: model, from: ZOO/digits}
  text: {type: encoder.text, text: a red three}
  empty: {type: encoder.text, text: ""}
  noise: {type: noise, seed: 5}
  picture: {type: image.load, file: picture.png}
  latent: {type: encoder.vae, image: $picture}
"""


def every_loop() -> dict[str, NodeType]:
    """The loops of the pack."""
    types = node_types().items()
    return {name: t for name, t in types if t.kind == "loop" and t.code.__module__.startswith("flowgen_nodes.")}


CASES = {
    f"{name.removeprefix('scheduler.')}_{n}": (found, params)
    for name, found in every_loop().items()
    for n, params in enumerate(VARIANTS.get(name, ("",)))
}
"""by node of the graph"""


def lines(name: str, found: NodeType, params: str) -> str:
    """A loop and the denoiser of its own that it needs."""
    ports = {port: PORTS[port] for port, p in found.signature.ports.items() if port in PORTS and not p.optional}
    given = ", ".join(f"{port}: {wire}" for port, wire in ports.items())
    more = f", {params}".replace("$clear", f"${name}_clear") if params else ""
    text = f"  {name}: {{type: {found.name}, {given}, prediction: ${name}_now, steps: {STEPS}{more}"
    text += f", checkpoint: {{step: {list(STOPS)}}}}}\n  {name}_now: {{type: denoiser, x: ${name}.x, context: $text}}\n"
    return text + f"  {name}_clear: {{type: denoiser, x: ${name}.x, context: $empty}}\n" * ("renoise" in params)


@pytest.fixture(scope="module")
def run(tmp_path_factory, zoo_folder):
    """Runs all loops, as one graph that is checked once, with a store of a name."""
    lab = Lab(tmp_path_factory.mktemp("lab"), zoo_folder)
    Image.linear_gradient("L").resize((32, 32)).convert("RGB").save(lab.folder / "picture.png")
    nodes = "".join(lines(name, *case) for name, case in CASES.items())
    experiment = lab.load(f"{GRAPH}{nodes}outputs: [{', '.join(CASES)}]\n")
    return lambda store: experiment.run(lab.folder / store, lab.runs, batch=2)


@pytest.fixture(scope="module")
def straight(run):
    """The results of a run that nothing disturbs."""
    return run("straight").results.load()


@pytest.fixture(scope="module", params=STOPS)
def resumed(request, run):
    """The step at which all loops of a run failed, and the run that goes on there."""
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, request.param)
        failed = run(f"stopped at {request.param}").failures
    assert {failure.node for failure in failed} == set(CASES)
    return request.param, run(f"stopped at {request.param}")


@pytest.mark.parametrize("name", CASES)
def test_a_loop_resumes_to_the_bit(name, straight, resumed):
    stop, again = resumed
    cuts = [cut for cut in again.plan.parcels if cut.stage == name]
    assert [start.step for cut in cuts for start in cut.states.resume] == [stop]
    assert again.results[name].load().equals(straight[name])
