"""Parcels: whom they wait for, what stays together, and that few exist at once."""

import gc
from typing import NamedTuple

import numpy as np
import pytest
from small import SMALL, Lab

from flowgen.execute import driver
from flowgen.execute.task import open_store
from flowgen.plan.cuts import LARGEST_PARCEL, even, lanes, parcel_size
from flowgen.plan.expect import measured
from flowgen.plan.program import Parcel
from flowgen.plan.trajectories import APART
from flowgen.store.timings import Timings

INTERVALS = SMALL.replace("guidance: [1, 4]", "low: [0, 0.5]\n  guidance: [1, 2, 4]").replace(
    "scale: $guidance", "scale: {during: [$low, 1], value: $guidance, else: 1}"
)


class Took(NamedTuple):
    """What a parcel took."""

    stage: str
    seconds: float
    steps: int


@pytest.fixture
def lab(tmp_path, zoo_folder):
    return Lab(tmp_path, zoo_folder)


def test_parcels_wait_for_those_that_make_what_they_read(lab):
    plan = lab.load(INTERVALS).plan(lab.store, batch=2, workers=5)
    parcels = [plan.parcel(cut) for cut in plan.parcels]
    maker = {key: (parcel.stage, parcel.number) for parcel in parcels for key in parcel.keys}
    assert len(maker) == plan.compute
    for cut, parcel in zip(plan.parcels, parcels, strict=True):
        read = {key for keys in parcel.inputs.values() for key in keys if key}
        read |= {key for keys in parcel.pooled for key in keys}
        assert set(plan.depends(cut)) == {maker[key] for key in read if key in maker}
        assert len(parcel) == len(cut)


def test_points_that_begin_alike_stand_together_with_the_steps_that_they_share(lab):
    plan = lab.plan(INTERVALS)
    axes = {"prompt": 2, "low": 2, "guidance": 3, "seed": 3}
    wanted = []
    for cut in plan.parcels:
        if cut.stage == "sampler":
            where = np.unravel_index(cut.rows, list(axes.values()))
            points = list(zip(*(index.tolist() for index in where), strict=True))
            for n, (prompt, low, guidance, seed) in enumerate(points):
                scale = [[1, 2, 4][guidance] if step / 4 >= [0, 0.5][low] else 1 for step in range(4)]
                wanted.append((prompt, seed, scale))
                if n == 0:
                    continue
                before = wanted[-2]
                common = next((k for k in range(4) if before[2][k] != scale[k]), 4)
                assert cut.share[n] == (common if before[:2] == (prompt, seed) else APART)
    families = [(prompt, seed) for prompt, seed, _ in wanted]
    assert len(wanted) == 2 * 3 * 5  # low changes nothing at guidance 1
    assert sum(a != b for a, b in zip(families, families[1:], strict=False)) == 5


def test_lanes_are_cut_between_families():
    share = np.array([-1, 0, 2, -1, 1, -1, -1])
    assert list(lanes(share, 1, 1)) == [(0, 3), (3, 5), (5, 6), (6, 7)]
    assert list(lanes(share, 4, 4)) == [(0, 3), (3, 7)]
    endless = np.array([-1] + [0] * (LARGEST_PARCEL + 9))
    assert list(lanes(endless, 5, 5)) == [(0, LARGEST_PARCEL), (LARGEST_PARCEL, LARGEST_PARCEL + 10)]


def test_parcels_end_where_batches_do():
    families = np.tile([APART, 0, 0], 20)
    assert list(lanes(families, 32, 8)) == [(0, 24), (24, 48), (48, 60)]
    assert list(lanes(families, 32, 16)) == [(0, 30), (30, 60)]  # only 48 items fill batches of 16
    uneven = np.array([APART] * 8 + [APART, *[0] * 6] * 4)
    assert list(lanes(uneven, 24, 8)) == [(0, 22), (22, 36)]  # 8 items would leave most of the work to another task
    fives = np.tile([APART, 0, 0, 0, 0], 512)
    assert list(lanes(fives, 256, 64)) == [(255 * n, 255 * n + 255) for n in range(9)] + [(2295, 2560)]  # no 10 alone
    for workers in range(1, 9):
        for batch in (1, 3, 8):
            for items in range(1, 60):
                size = parcel_size(items, batch, 1, 1.0, workers)
                assert size % batch == 0 or size == -(-items // workers)
                assert size <= -(-items // workers)
    assert parcel_size(30, 8, 1, 1.0, 2) == 8  # not 15
    assert parcel_size(30, 8, 1, 1.0, 1) == 30


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_no_worker_waits_long_for_the_last_parcel(workers):
    """Against workers that take parcels one after the other, counted out."""

    def ends(each, whole):
        loads = [0] * workers
        for start in range(0, whole, each):
            loads[loads.index(min(loads))] += min(each, whole - start)
        return max(loads)

    for batches in (1, 2, 8, 13):
        for whole in range(1, 120):
            each = even(batches, whole, workers)
            assert batches // 2 < each <= batches
            assert ends(each, whole) == min(ends(size, whole) for size in range(batches, batches // 2, -1))
    assert even(8, 60, workers) == {1: 8, 2: 6, 3: 5, 8: 8}[workers]


def test_parcels_of_work_that_was_slow_take_a_minute(lab):
    text = SMALL.replace("[image, clip, fid]", "[image]").replace("range: 3", "range: 24")
    text = text.replace("guidance: [1, 4]", "guidance: [1]")

    def sizes():
        cut = {"sampler": [], "image": []}
        for part in lab.load(text).plan(lab.store, batch=4).parcels:
            cut.setdefault(part.stage, []).append(len(part))
        return cut["sampler"], cut["image"]

    assert sizes() == ([48], [48])
    plan, store = lab.load(text).plan(lab.store, batch=4), open_store(str(lab.store))
    slow = [Took("sampler", 60.0, 4 * 10), Took("image", 70.0, 1)]  # ten items a minute; less than one
    Timings(store.medium).learn(measured(plan, slow, "cpu"))
    assert sizes() == ([8] * 6, [4] * 12)
    another = lab.load(text.replace("steps: 4", "steps: 8")).plan(lab.store, batch=4)
    assert max(len(cut) for cut in another.parcels if cut.stage == "sampler") == 4  # of twice the steps


def parcels_alive():
    gc.collect()
    return sum(type(found) is Parcel for found in gc.get_objects())


@pytest.mark.parametrize("bound", [{"IN_FLIGHT": 4}, {"AHEAD": 6}])
def test_few_parcels_exist_at_once(lab, monkeypatch, bound):
    """By their number, and by their items; nobody keeps those that are done, in no log of Dask's either."""
    alive = []

    class Counting(driver.Flight):
        def results(self):
            for number, found in enumerate(super().results()):
                if number in (0, 30):
                    alive.append(parcels_alive())
                yield found

    monkeypatch.setattr(driver, "Flight", Counting)
    for name, value in bound.items():
        monkeypatch.setattr(f"flowgen.execute.ahead.{name}", value)
    monkeypatch.setattr("flowgen.plan.cuts.PARCEL_FLOPS", 1)
    text = "flowgen: 1\nsweep: {prompt: {lines: prompts.txt}}\nnodes:\n"
    text += "  digits: {type: model, from: ZOO/digits}\n"
    text += "  text: {type: encoder.text, text: $prompt, model: $digits}\noutputs: [text]\n"
    (lab.folder / "prompts.txt").write_text("\n".join(map(str, range(40))))
    run = lab.run(text, options={"batch": 1})
    assert run.tally.computed("text") == len(run.tally.receipts) == 40
    assert alive[1] - alive[0] <= 10  # those of other tests that are alive apart


def test_what_a_task_holds_is_bounded_however_many_items_there_are(lab, monkeypatch):
    text = "flowgen: 1\nsweep: {seed: {range: COUNT}}\ndefaults: {model: $digits}\nnodes:\n"
    text += "  digits: {type: model, from: ZOO/digits}\n  noise: {type: noise, seed: $seed, store: always}\n"
    text += "  image: {type: decoder.vae, latent: $start}\n  start: {type: scheduler.ddim, start: $noise, "
    text += "prediction: $cond, steps: 1}\n  empty: {type: encoder.text, text: ''}\n"
    text += "  cond: {type: denoiser, x: $start.x, context: $empty}\noutputs: [image]\n"
    batch, item = 4, 3 * 32 * 32 * 4 + 4 * 8 * 8 * 4  # a picture, and the latent that it is read from
    monkeypatch.setattr("flowgen.plan.cuts.PARCEL_BYTES", 2 * batch * item)

    def images(count, batch=batch):
        plan = lab.load(text.replace("COUNT", str(count))).plan(lab.store, batch=batch)
        return [len(cut) for cut in plan.parcels if cut.stage == "image"]

    for count in (20, 200):
        assert images(count) == [2 * batch] * (count // 8) + [count % 8] * bool(count % 8)
    assert max(images(40, 2 * batch)) == 2 * batch
    monkeypatch.setattr("flowgen.plan.cuts.PARCEL_BYTES", 1)
    assert set(images(20)) == {batch}  # a batch at least
