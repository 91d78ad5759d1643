"""The plan as a table and as JSON: counts by hand, what keeps items apart, times learned from earlier runs."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from small import SMALL, Lab

from flowgen.cli import flowgen as command
from flowgen.execute.clusters.where import GPUS, Where
from flowgen.plan.batches import explain_batches
from flowgen.plan.document import plan_document
from flowgen.runner import memory_for
from flowgen.store.folder import Folder
from flowgen.store.limits import remember
from flowgen.store.timings import Timings, Work

SIZES = (
    SMALL.replace("sweep:", "sweep:\n  size: [32, 64]\n  spacing: [leading, trailing]")
    .replace("per: [prompt]", "width: $size, height: $size")
    .replace("steps: 4", "steps: 4, spacing: $spacing")
    .replace("[image, clip, fid]", "[clip]")
)
SIZES = "".join(line for line in SIZES.splitlines(True) if not line.strip().startswith(("features", "real", "fid")))


@pytest.fixture
def lab(tmp_path, zoo_folder):
    return Lab(tmp_path, zoo_folder)


def planned(lab, *options):
    """The command's output."""
    call = ["plan", str(lab.folder / "g.yaml"), "--store", str(lab.store), *options]
    result = CliRunner().invoke(command, call, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_the_json_holds_the_counts(lab):
    lab.load(SMALL)
    found = json.loads(planned(lab, "--json"))
    nodes = found["nodes"]
    assert found["version"] == 1
    assert found["axes"] == {"prompt": 2, "guidance": 2, "seed": 3}
    assert (found["compute"], found["seconds"]) == (53, None)
    assert nodes["cond"]["loop"] == "sampler"
    assert nodes["cond"]["rows"] == {"alone": 12 * 4, "planned": 6 + 12 * 3}  # both scales share the first step
    assert nodes["uncond"]["rows"] == {"alone": 6 * 4, "planned": 6 * 4}
    image = {name: nodes["image"][name] for name in ("points", "items", "known", "compute", "bytes", "rows")}
    assert image == {
        "points": 12, "items": 12, "known": 0, "compute": 12, "bytes": 12 * 3 * 32 * 32 * 4,
        "rows": {"alone": 12, "planned": 12},
    }  # fmt: skip
    assert nodes["guided"]["rows"] is None
    described = (Path(__file__).parents[2] / "docs" / "plan.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in described for name in {*found, *nodes["image"]})
    assert nodes["noise"]["stored"] is False


def test_times_are_unknown_at_first_and_learned_by_a_run(lab):
    lab.load(SMALL)
    assert "unknown" in planned(lab)
    lab.run(SMALL)
    more = lab.plan(SMALL, ("{range: 3}", "{range: 4}"))
    assert more.nodes["sampler"].compute == 4
    assert all(node.seconds > 0 for node in more.nodes.values() if node.compute)
    assert more.seconds == pytest.approx(sum(node.seconds or 0 for node in more.nodes.values()))
    (lab.store / "timings.json").write_text("{not json")
    assert lab.plan(SMALL, ("{range: 3}", "{range: 4}")).seconds is None


def test_timings_go_by_kind_of_work(tmp_path):
    timings = Timings(Folder(tmp_path))
    timings.learn([(Work("denoiser", 100, "cpu"), 8.0, 4)])
    assert Timings(Folder(tmp_path)).seconds(Work("denoiser", 100, "cpu")) == 2
    assert timings.seconds(Work("denoiser", 50, "cpu")) == 1  # by its FLOPs
    assert timings.seconds(Work("denoiser", 100, "cuda")) is None
    assert timings.seconds(Work("decoder", 100, "cpu")) is None
    timings.learn([(Work("denoiser", 100, "cpu"), 2.0, 2)])
    assert timings.seconds(Work("denoiser", 100, "cpu")) == (8 / 2 + 2) / (4 / 2 + 2)


def test_what_keeps_items_apart(lab):
    found = explain_batches(lab.plan(SIZES))
    (kinds,) = [said for said in found["sampler"] if "kinds" in said]
    assert kinds.startswith("4 kinds of items that can't share a batch")
    assert "'spacing' of 'sampler' is the same for a whole batch, and is leading, trailing" in kinds
    assert "'noise' has several kinds of items itself, of shapes 4 × 8 × 8, 4 × 16 × 16" in kinds
    assert not any("kinds" in said for said in found["text"])
    assert "as --batch says" in found_with(lab, batch=5)["image"][0]
    strict = SMALL.replace("flowgen: 1", "flowgen: 1\nnumerics: strict")
    assert "padded to 16 rows" in explain_batches(lab.plan(strict))["image"][0]
    lab.load(SMALL)
    assert "text  batches of 64, the most that is tried\n" in planned(lab, "--explain-batches")


def found_with(lab, **options):
    """Explanations under other options."""
    return explain_batches(lab.load(SMALL).plan(lab.store, **options))


def test_memory_limits_a_batch(lab, monkeypatch):
    monkeypatch.setattr("flowgen.experiment.memory_for", lambda device, where: (1 << 20, "little"))
    plan = lab.plan(SMALL)
    size = plan.nodes["sampler"].batch
    peak = plan.check.outcomes["sampler"][0].peak_bytes
    assert size == max(1, (1 << 20) // (16 * peak)) < 64
    (said,) = explain_batches(plan)["sampler"]
    assert said.startswith(f"batches of {size}: an item's largest tensor")
    assert said.endswith("may take 0.00105 GB, little")
    assert plan_document(plan)["nodes"]["sampler"]["batch"] == size


def test_a_gpus_batches_are_those_of_its_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    cards = {"cuda:0": 80 << 30, "cuda:1": 40 << 30}
    about = {name: SimpleNamespace(name=f"card {name[-1]}", total_memory=total) for name, total in cards.items()}
    monkeypatch.setattr(torch.cuda, "get_device_properties", {**about, "cuda": about["cuda:0"]}.get)
    assert memory_for("auto", Where()) == (20 << 30, "a quarter of the memory of card 0")
    assert memory_for("cuda:1", Where()) == (10 << 30, "a quarter of the memory of card 1")
    shared = (10 << 30, "a quarter of the memory of card 0, shared by 2 processes")
    assert memory_for("cuda", Where(workers=2, side_by_side=2)) == shared
    assert memory_for("auto", Where(cluster=GPUS, side_by_side=2)) == (10 << 30, "a quarter of the memory of card 1")
    machine = psutil.virtual_memory().total
    assert memory_for("cpu", Where()) == (machine // 4, "a quarter of this machine's memory")
    told = memory_for("cuda", Where(cluster="tls://host:8786", workers=8, side_by_side=8))
    assert told[0] == machine // 32
    assert told[1].endswith("divided by 8: the workers' own isn't known before they are asked")


def test_where_memory_ran_out_is_told(lab):
    remember(Folder(lab.store), {"denoiser|a": 8, "denoiser|b": 2, "decoder.vae|a": 4})
    found = explain_batches(lab.plan(SMALL))
    assert "'denoiser' is given at most 2 to 8 items at once" in found["sampler"][1]
    assert "'decoder.vae' is given at most 4 items at once" in found["image"][1]
    assert not any("memory ran out" in said for said in found["text"])


PHOTOS = """\
flowgen: 1
sweep: {photo: {files: "photos/*.png"}}
defaults: {model: $digits}
nodes:
  digits: {type: model, from: ZOO/digits}
  picture: {type: image.load, file: $photo}
  text: {type: encoder.text, text: a red three}
  noise: {type: noise, seed: 0, per: [photo], width: WIDTH, height: WIDTH}
  init: {type: encoder.vae, image: $picture}
  sampler: {type: scheduler.ddim, start: $noise, init: $init, strength: 0.5, prediction: $cond, steps: 4}
  cond: {type: denoiser, x: $sampler.x, context: $text}
outputs: [sampler]
"""


def test_pictures_of_one_size_from_many_files_share_batches(lab):
    (lab.folder / "photos").mkdir()
    for n in range(4):
        Image.new("RGB", (32, 32), (60 * n, 0, 0)).save(lab.folder / "photos" / f"{n}.png")
    text = PHOTOS.replace("WIDTH", "32")
    plan = lab.plan(text)
    assert [len(cut) for cut in plan.parcels if cut.stage == "sampler"] == [4]
    assert not any("kinds" in said for node in ("init", "sampler") for said in explain_batches(plan)[node])
    run = lab.run(text)
    assert run.tally.calls()["encoder.vae"] == (1, 4)
    assert not run.failures and run.tally.calls()["denoiser"] == (2, 8)  # half of the steps, four items in each
    found = run.results["sampler"].values
    lab.store = lab.folder / "other"
    alone = lab.run(text.replace("*.png", "2.png")).results["sampler"].values
    assert np.allclose(found[2], alone.reshape(found[2].shape), atol=1e-5) and not np.allclose(
        found[2], found[1], atol=1e-2
    )


def test_pictures_of_several_sizes_do_not(lab):
    (lab.folder / "photos").mkdir()
    for n, side in enumerate((32, 32, 64)):
        Image.new("RGB", (side, side), (60 * n, 0, 0)).save(lab.folder / "photos" / f"{n}.png")
    text = PHOTOS.replace("start: $noise, init: $init, strength: 0.5, prediction: $cond, steps: 4", "image: $picture")
    text = text.replace("scheduler.ddim", "encoder.vae").replace("[sampler]", "[sampler, picture]")
    text = "".join(line for line in text.splitlines(True) if not line.strip().startswith(("noise", "cond", "init")))
    plan = lab.plan(text)
    assert sorted(len(cut) for cut in plan.parcels if cut.stage == "sampler") == [1, 2]
    (kinds,) = [said for said in explain_batches(plan)["sampler"] if "kinds" in said]
    assert "'picture' has several kinds of items itself" in kinds
