"""What only a GPU shows: `make test-gpu` on a machine that has one.

Models are loaded once, memory doesn't grow from batch to batch, a batch that doesn't fit is halved with the same
images, and every GPU of the machine gets a worker of its own.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import flowgen.execute.task as task
from flowgen.execute.clusters import Where, client
from flowgen.execute.clusters.near import address, near
from flowgen.execute.task import open_store, pool
from flowgen.experiment import load
from flowgen.store.limits import remembered

EXAMPLE = Path(__file__).parents[2] / "graphs" / "01_text_to_image.yaml"
GRAPH = """\
flowgen: 1
sweep: {{seed: {{range: {images}}}}}
defaults: {{model: $digits}}
nodes:
  digits: {{type: model, from: "zoo:digits"}}
  text: {{type: encoder.text, text: a red three}}
  empty: {{type: encoder.text, text: ""}}
  noise: {{type: noise, seed: $seed}}
  sampler: {{type: scheduler.ddim, start: $noise, prediction: $guided, steps: {steps}}}
  cond: {{type: denoiser, x: $sampler.x, context: $text}}
  uncond: {{type: denoiser, x: $sampler.x, context: $empty}}
  guided: {{type: guidance.cfg, cond: $cond, uncond: $uncond, scale: 4}}
  image: {{type: decoder.vae, latent: $sampler.sample}}
outputs: [image]
"""


def run(folder, images, name="store", steps=10, **options):
    file = folder / "g.yaml"
    file.write_text(GRAPH.format(images=images, steps=steps))
    return load(file).run(folder / name, folder / "runs", device="cuda", **options)


@pytest.fixture
def whole_card():
    """All of the card's memory, before and after."""
    torch.cuda.empty_cache()
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def test_models_are_loaded_once_and_memory_stays(tmp_path, monkeypatch):
    run(tmp_path, 8, batch=8)
    loads, held = pool().loads, []
    monkeypatch.setattr("flowgen.plan.cuts.PARCEL_FLOPS", 1)  # a parcel a batch
    before = task.give_back

    def give_back(every):
        before(every)
        torch.cuda.synchronize()
        held.append(torch.cuda.memory_allocated())

    monkeypatch.setattr(task, "give_back", give_back)
    done = run(tmp_path, 8 * 101, batch=8)
    assert pool().loads == loads
    batches = [receipt for receipt in done.tally.receipts if receipt.stage == "sampler"]
    assert len(batches) == 100
    assert max(held[-20:]) - max(held[10:30]) < 1 << 20  # bytes


def test_a_batch_that_does_not_fit_is_halved_with_the_same_images(tmp_path, monkeypatch, whole_card):
    monkeypatch.setattr(task, "_LIMITS", {})
    roomy = run(tmp_path, 64, batch=64).results.image.values
    total = torch.cuda.get_device_properties(0).total_memory
    for share in (0.5, 0.3, 0.2, 0.12, 0.08):
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
        base = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run(tmp_path, 64, f"again {share}", steps=1, batch=64)
        peak = torch.cuda.max_memory_reserved()
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction((base + share * (peak - base)) / total)
        tight = run(tmp_path, 64, f"tight {share}", batch=64)
        assert tight.failures == []
        assert np.abs(tight.results.image.values - roomy).max() < 1e-3
        if remembered(open_store(str(tmp_path / f"tight {share}")).medium):  # it did run out
            return
    raise AssertionError("memory never ran out")


def test_scores_and_distances_are_those_of_the_cpu(tmp_path):
    where = {"seed": "0..3", "colour": "red|blue"}
    graph, runs = load(EXAMPLE, where=where), tmp_path / "runs"
    gpu, cpu = (graph.run(tmp_path / device, runs, device=device) for device in ("cuda", "cpu"))
    assert gpu.failures == cpu.failures == []
    for name in ("clip", "fid"):
        assert np.allclose(gpu.results[name].values, cpu.results[name].values, rtol=1e-3), name


def test_every_gpu_has_a_worker(tmp_path):
    here = run(tmp_path, 32, batch=8)
    done = run(tmp_path, 32, "other", batch=8, cluster="gpus")
    processes = {receipt.worker for receipt in done.tally.receipts if receipt.stage == "sampler"}
    assert 1 <= len(processes) <= torch.cuda.device_count()
    assert np.abs(done.results.image.values - here.results.image.values).max() < 1e-3


def test_a_gpus_worker_is_bound_to_the_cores_near_it():
    close = near(address(torch.cuda.get_device_properties(0))) & os.sched_getaffinity(0)
    with client(Where(workers=1, cluster="gpus")) as connected:
        (bound,) = connected.run(os.sched_getaffinity, 0).values()
    assert bound == (close or os.sched_getaffinity(0))
