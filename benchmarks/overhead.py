"""What flowgen adds to the model calls, and how planning grows.

    python benchmarks/overhead.py [--points 1000000] [--items 100 1000 10000 100000] [--steps 25] [--threads 2]

1. The loop against a hand-written PyTorch loop that makes the same batched calls: wall ratio, and the host time of a
   step outside the model calls; at a batch of 16 items, and at the largest of the engine's choice. Beside it a
   hand-written loop whose items are each at a step of their own.
2. A run of which everything is in the store, for more and more items.
3. Planning graph 01 for more and more points: seconds, and memory above the imports.
4. Peak memory of a run whose items grow tenfold.

Each measurement runs in a process of its own. Ratios compare figures of one run on one machine.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from operator import truediv
from pathlib import Path
from statistics import median
from typing import Any

GRAPH = Path(__file__).parents[1] / "graphs" / "01_text_to_image.yaml"
SWEEPS = (16, 64)
"""items of the sweeps that are run, each one batch: one that is small, one that fills a batch of the engine's choice"""
REPEATS = 21
SHORT = 5
"""steps of a second measurement: the difference to the first is what a step costs, without what a run begins with"""
LOOP = """\
flowgen: 1
sweep: {{seed: {{range: {items}}}}}
defaults: {{model: $digits}}
nodes:
  digits: {{type: model, from: "zoo:digits"}}
  text: {{type: encoder.text, text: "a red three"}}
  empty: {{type: encoder.text, text: ""}}
  noise: {{type: noise, seed: $seed}}
  sampler: {{type: scheduler.ddim, start: $noise, prediction: $guided, steps: {steps}}}
  cond: {{type: denoiser, x: $sampler.x, context: $text}}
  uncond: {{type: denoiser, x: $sampler.x, context: $empty}}
  guided: {{type: guidance.cfg, cond: $cond, uncond: $uncond, scale: 4}}
outputs: [sampler]
"""
TEXTS = """\
flowgen: 1
sweep: {{value: {{range: {items}}}}}
defaults: {{model: $digits}}
nodes:
  digits: {{type: model, from: "zoo:digits"}}
  noise: {{type: noise, seed: $value, store: always}}
outputs: [noise]
"""
IMAGES = """\
flowgen: 1
sweep: {{value: {{range: {items}}}}}
defaults: {{model: $digits}}
nodes:
  digits: {{type: model, from: "zoo:digits"}}
  noise: {{type: noise, seed: $value}}
  empty: {{type: encoder.text, text: ""}}
  sampler: {{type: scheduler.ddim, start: $noise, prediction: $cond, steps: 1}}
  cond: {{type: denoiser, x: $sampler.x, context: $empty}}
  image: {{type: decoder.vae, latent: $sampler.sample}}
outputs: [image]
"""


def peak() -> float:
    """MB that this process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def written(folder: Path, text: str) -> Path:
    """A graph file."""
    path = folder / "graph.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def measure_loop(folder: Path, items: int, steps: int, threads: int) -> dict[str, Any]:
    """The engine's loop and hand-written ones over the same network, in turns of random order.

    For each, its time over that by hand, the median of the turns, and the least seconds outside the network.
    """
    import torch
    from by_hand import loops

    import flowgen
    from flowgen.execute.caller import Caller
    from flowgen.execute.pool import Pool
    from flowgen.execute.stage import compute
    from flowgen.execute.task import open_store
    from flowgen.values.model import opening

    torch.set_num_threads(threads)
    text = LOOP.format(items=items, steps=steps)
    experiment = flowgen.load(written(folder, text.replace("outputs: [sampler]", "outputs: [text, empty]")))
    experiment.run(folder / "store", folder / "runs")
    plan = flowgen.load(written(folder, text)).plan(folder / "store")
    (cut,) = (cut for cut in plan.parcels if cut.stage == "sampler")
    parcel = plan.parcel(cut)
    code, store, batch = plan.programs["sampler"], open_store(str(folder / "store")), len(parcel)
    assert batch <= parcel.batch, "the loops by hand run all items as one batch"
    with torch.no_grad(), opening(Pool().opener("cpu", code.parts, store.file_digest)):
        model = plan.graph.references["digits"].values[()]
        network = model["unet"]
        inside = 0.0
        forward = network.forward

        def timed(*arguments: Any, **options: Any) -> Any:
            nonlocal inside
            begun = time.perf_counter()
            found = forward(*arguments, **options)
            inside += time.perf_counter() - begun
            return found

        network.forward = timed
        by_hand, itemwise = loops(plan, parcel, store, network, batch, steps)
        spent: dict[str, list[float]] = {}
        outside: dict[str, float] = {}

        def publish(keys: object, outputs: object) -> None:
            raise AssertionError("the loop has no checkpoints")

        def engine() -> Any:
            return compute(code, parcel, Caller(plan.numerics), store, "cpu", publish)[0][1]["sample"].data

        values = {}
        for _ in range(REPEATS):
            for name, run in random.sample([("flowgen", engine), ("by hand", by_hand), ("by item", itemwise)], 3):
                inside, begun = 0.0, time.perf_counter()
                values[name] = run()
                seconds = time.perf_counter() - begun
                spent.setdefault(name, []).append(seconds)
                outside[name] = min(outside.get(name, seconds), seconds - inside)
    for name in ("by hand", "by item"):
        assert float((values["flowgen"] - values[name]).abs().max()) < 1e-3
    ratios = {name: median(map(truediv, seconds, spent["by hand"])) for name, seconds in spent.items()}
    return {"loops": {name: (ratio, outside[name]) for name, ratio in ratios.items()}}


def measure_cached(folder: Path, items: int) -> dict[str, Any]:
    """Seconds of a run that computes nothing."""
    import flowgen

    graph = written(folder, TEXTS.format(items=items))
    flowgen.load(graph).run(folder / "store", folder / "runs")
    begun = time.perf_counter()
    run = flowgen.load(graph).run(folder / "store", folder / "runs")
    assert run.tally.computed() == 0
    return {"seconds": time.perf_counter() - begun}


def measure_plan(folder: Path, points: int) -> dict[str, Any]:
    """Seconds of checking and planning, and the memory that they took above a small plan of the same graph."""
    import flowgen

    flowgen.load(GRAPH).plan(folder / "store")
    before, begun = peak(), time.perf_counter()
    experiment = flowgen.load(GRAPH, sweep={"seed": {"range": -(-points // 120)}})
    experiment.check()
    checked = time.perf_counter()
    plan = experiment.plan(folder / "store")
    return {
        "points": plan.nodes["image"].points,
        "check": checked - begun,
        "plan": time.perf_counter() - checked,
        "memory": peak() - before,
    }


def measure_memory(folder: Path, items: int) -> dict[str, Any]:
    """Peak memory of a run of decoded pictures, of the whole process and above a small run of the same graph."""
    import flowgen

    graph = written(folder, IMAGES.format(items=items))
    flowgen.load(graph, where={"value": "0..3"}).run(folder / "store", folder / "runs")
    before = peak()
    run = flowgen.load(graph).run(folder / "store", folder / "runs")
    found = {"memory": peak() - before, "whole": peak(), "plan": columns(run.plan) / 1e6}
    return {**found, "bytes": run.plan.nodes["image"].bytes / 1e6, "tasks": len(run.tally.receipts)}


def columns(plan: Any) -> int:
    """Bytes of a plan's arrays: keys, which points are needed, who computes them."""
    held = [*(c.values for c in (*plan.keys.values(), *plan.keying.columns.values())), *plan.makers.values()]
    for cutter in plan.cutters.values():
        held += cutter.needs.values()
    for node in plan.graph.nodes.values():
        held += [column.values for column in node.params.values()]
    held += [array for cut in plan.parcels for array in (cut.rows, cut.share) if array is not None]
    whole = {id(array): array for array in (base(array) for array in held)}
    return sum(array.nbytes for array in whole.values())


def base(array: Any) -> Any:
    """The array that a view is of."""
    while array.base is not None and hasattr(array.base, "nbytes"):
        array = array.base
    return array


MEASURES = {"loop": measure_loop, "cached": measure_cached, "plan": measure_plan, "memory": measure_memory}


def apart(measure: str, *arguments: int) -> dict[str, Any]:
    """A measurement in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--measure", measure, "--folder", folder]
        command += ["--arguments", *map(str, arguments)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def print_loop(items: int, steps: int, threads: int) -> None:
    """The loop of a sweep and those by hand."""
    short, whole = (apart("loop", items, count, threads) for count in (SHORT, steps))
    print(f"loop, {items} items at once, {steps} steps, {threads} threads")
    for name in ("flowgen", "by hand", "by item"):
        ratio, outside = whole["loops"][name]
        each = (outside - short["loops"][name][1]) / (steps - SHORT) * 1e3
        print(
            f"  {name:8} {ratio:6.3f} of the time by hand, {each:6.2f} ms a step outside the model calls, "
            f"{outside * 1e3:5.2f} ms in all"
        )


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--points", type=int, default=1_000_000, help="sweep points to plan")
    options.add_argument(
        "--items", type=int, nargs="*", default=[100, 1000, 10_000, 100_000], help="items in the store"
    )
    options.add_argument("--images", type=int, default=400, help="pictures of the smaller run of the memory test")
    options.add_argument("--hundredfold", action="store_true", help="a hundred times as many pictures too")
    options.add_argument("--steps", type=int, default=25)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--measure", choices=MEASURES, help=argparse.SUPPRESS)
    options.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--arguments", type=int, nargs="*", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.measure:
        print(json.dumps(MEASURES[chosen.measure](chosen.folder, *chosen.arguments)))
        return
    for items in SWEEPS:
        print_loop(items, chosen.steps, chosen.threads)
    print("a run with everything in the store")
    for items in chosen.items:
        seconds = apart("cached", items)["seconds"]
        print(f"  {items:8} items {seconds:8.2f} s {seconds / items * 1e3:9.3f} ms an item")
    print("planning graph 01 with an empty store")
    for points in (chosen.points // 100, chosen.points // 10, chosen.points):
        found = apart("plan", points)
        each = found["plan"] / found["points"] * 1e6
        print(
            f"  {found['points']:8} points: check {found['check']:5.1f} s, plan {found['plan']:6.1f} s "
            f"({each:5.1f} us a point), {found['memory']:6.0f} MB"
        )
    print("memory of a run above a small run of the same graph")
    for times in (1, 10, 100)[: 3 if chosen.hundredfold else 2]:
        images = times * chosen.images
        found = apart("memory", images)
        print(
            f"  {images:8} pictures of {found['bytes']:6.1f} MB in {found['tasks']} tasks: {found['memory']:6.0f} MB, "
            f"{found['whole']:5.0f} MB with all imports; the plan's columns {found['plan']:5.1f} MB"
        )


if __name__ == "__main__":
    main()
