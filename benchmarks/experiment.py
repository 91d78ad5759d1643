"""An experiment with FID and CLIP curves, three ways, and what one more of anything costs.

    python benchmarks/experiment.py [--prompts 4] [--seeds 4] [--threads 2]      (--seeds 64 is the whole experiment)
    python benchmarks/experiment.py --only flowgen | additions                  (without the scripts | the second table)

The sweep: prompts x seeds x 6 guidance scales x 2 numbers of steps. The contestants, each in a process of its own:

* single: image after image for every scale, as mosaicml/diffusion's evaluator does it (clean_fid_eval.py), each
  scored as it comes;
* batched: a diffusers pipeline, every configuration (scale, steps) in batches;
* flowgen: the graph, with an empty store.

They must draw the same images (within 1e-4). Wall time is taken after a small warm-up: imports apart, loading included.
The rows of the denoiser are compared with the least number, by hand (sweep.py).

*allowed* is what the machine's own gain from batching allows: the seconds that the networks take for the least number
of rows, measured at flowgen's own mean batch in the same process, over flowgen's wall time. They are measured after the
run, on a machine that is never quite the same; so the seconds inside the networks' calls are counted in the run too.

The second table adds something to the finished experiment, and runs it from scratch with an empty store before and
after each addition. The addition's cost is wall time less that of a run which finds everything in the store, over the
mean of the same of these two; its own share is the networks' seconds of the new rows over those of all, all at the
first run's mean batches; beside it, the seconds inside the networks' calls over those of the two runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from networks import KINDS, network_seconds, spent_in_networks
from scripted import diffusers_script
from sweep import SCALES, STEPS, least_rows
from turns import Runs


def flowgen_run(chosen: argparse.Namespace, out: Path) -> dict[str, Any]:
    """The same as a graph, with an empty store; then one more of this and that."""
    import numpy as np

    with tempfile.TemporaryDirectory() as name:
        runs = Runs(Path(name), chosen.prompts, chosen.seeds)
        begun = runs.scratch("store")
        first = begun.first
        cost, calls = network_seconds(first.run)
        found = first.run.results.transpose("guidance", "steps", "prompt", "seed", ...)
        images = found.image.values.reshape(-1, *found.image.shape[4:])
        np.savez(
            out, images=(images / 2 + 0.5).clip(0, 1), clip=found.clip_mean.values.ravel(), fid=found.fid.values.ravel()
        )
        added = {} if chosen.only == "flowgen" else runs.added("store", begun, cost)
    least = chosen.prompts * chosen.seeds * least_rows(len(SCALES), STEPS)
    return {
        "seconds": first.seconds, "rows": first.rows, "added": added, "known": begun.known, "calls": calls,
        "allowed": spent_in_networks({**first.rows, "denoiser": least}, cost), "inside": first.inside,
    }  # fmt: skip


def contestant(chosen: argparse.Namespace) -> None:
    """One contestant in this process; prints its figures as the last line."""
    import diffusers
    import torch
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    torch.set_num_threads(chosen.threads)
    if chosen.contestant == "flowgen":
        found = flowgen_run(chosen, chosen.out)
    else:
        found = diffusers_script(chosen, chosen.batch if chosen.contestant == "batched" else 1, chosen.out)
    print(json.dumps(found))


def main() -> None:
    """Run every contestant and print the tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--prompts", type=int, default=4, help="of 39")
    options.add_argument("--seeds", type=int, default=4, help="images for each prompt, scale and number of steps")
    options.add_argument("--threads", type=int, default=2, help="torch threads of every contestant")
    options.add_argument("--batch", type=int, default=16, help="images a batch of the batched diffusers script")
    options.add_argument("--only", choices=["flowgen", "additions"], help="a part of it, without the scripts")
    options.add_argument("--contestant", help=argparse.SUPPRESS)
    options.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.contestant:
        contestant(chosen)
        return
    figures, results = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("flowgen",) if chosen.only else ("flowgen", "batched", "single"):
            out = Path(folder) / f"{name}.npz"
            command = [sys.executable, __file__, "--contestant", name, "--out", str(out), "--batch", str(chosen.batch)]
            command += [f"--{option}={getattr(chosen, option)}" for option in ("prompts", "seeds", "threads")]
            command += [f"--only={chosen.only}"] if chosen.only else []
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            figures[name] = json.loads(done.stdout.strip().splitlines()[-1])
            results[name] = read_npz(out)
    if chosen.only != "additions":
        first_table(chosen, figures, results)
    if chosen.only != "flowgen":
        second_table(figures["flowgen"]["added"])


def read_npz(path: Path) -> dict[str, Any]:
    """A contestant's images and scores."""
    import numpy as np

    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def first_table(chosen: argparse.Namespace, figures: dict[str, Any], results: dict[str, Any]) -> None:
    """The contestants, and how much of flowgen's time are the networks'."""
    import numpy as np

    mine, kinds = figures["flowgen"], list(KINDS.values())
    images = results["flowgen"]["images"]
    print(f"{len(images)} images of {STEPS} steps at {len(SCALES)} scales, {chosen.threads} threads")
    print(f"{'':10}{'seconds':>9}{'ratio':>7}{''.join(f'{k:>10}' for k in kinds)}{'image gap':>11}{'FID gap':>9}")
    for name, found in figures.items():
        gap = float(np.abs(results[name]["images"] - images).max())
        far = float(np.abs(results[name]["fid"] / results["flowgen"]["fid"] - 1).max())
        counts = "".join(f"{found['rows'].get(kind, 0):10}" for kind in kinds)
        print(f"{name:10}{found['seconds']:9.1f}{found['seconds'] / mine['seconds']:7.2f}{counts}{gap:11.1e}{far:9.0e}")
        if gap > 1e-4:
            sys.exit(f"{name} draws other images")
    print(f"least number of denoiser rows, by hand: {chosen.prompts * chosen.seeds * least_rows(len(SCALES), STEPS)}")
    size = mine["calls"]["denoiser"]
    print(f"a denoiser row alone (2 in a call) over one of {size} in a call: {mine['calls']['gain']:.2f}")
    over = mine["seconds"] - mine["known"]
    print(f"a run that finds everything in the store: {mine['known']:.1f} s")
    for said, spent in (("allowed by the networks", mine["allowed"]), ("in their calls in that run", mine["inside"])):
        shares = f"{spent / mine['seconds']:.2f} of the wall time, {spent / over:.2f} of it without those"
        print(f"{said}: {spent:.1f} s, {shares}")


def second_table(added: dict[str, dict[str, float]]) -> None:
    """What was added, and what it cost."""
    heads = ("items", "rows", "by hand", "seconds", "scratch", "cost", "own share", "inside")
    print("\n" + f"{'added':18}" + "".join(f"{head:>10}" for head in heads))
    for label, row in added.items():
        counts = "".join(f"{row[name]:10}" for name in ("items", "rows", "least"))
        shares = "".join(f"{row[name]:10.3f}" for name in ("cost", "share", "inside"))
        print(f"{label:18}{counts}{row['seconds']:10.1f}{row['whole']:10.1f}{shares}")


if __name__ == "__main__":
    main()
