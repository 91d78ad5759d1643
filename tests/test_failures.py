"""An item that fails is recorded with its cause and its point; the others finish; the next run tries it again."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from rich.console import Console
from small import Lab, computed

from flowgen import runner
from flowgen.errors import UserError
from flowgen.execute.connection import SchedulerGone
from flowgen.execute.driver import RunFailed
from flowgen.execute.event_log import read_records
from flowgen.execute.progress import Silent
from flowgen.execute.task import open_store
from flowgen.experiment import Experiment, load
from flowgen.node import node
from flowgen.results.table import scalar_table
from flowgen.store.collect import choose, keep_within
from flowgen.store.reach import pin, run_keys
from flowgen.store.transfer import export
from flowgen.values import Features, Image, Moments, PerItem, Score
from flowgen.values.random import is_abstract

BAD: set[int] = set()
"""values that fail now"""
NAN: set[int] = set()


@node("fails.number", stored=True)
def number(value: PerItem[int]) -> Score:
    """A number that can't always be had."""
    for found in value.values:
        if found in BAD and not is_abstract():
            raise ValueError(f"no {found} today")
    data = torch.tensor([float("nan") if v in NAN else float(v) for v in value.values])
    return Score(data, torch.ones(len(data), dtype=torch.long))


@node("fails.whole", stored=True)
def whole(value: PerItem[int], truth: bool = False) -> Score:
    """A whole number, or whether it is above 1."""
    if not is_abstract() and BAD.intersection(value.values):
        raise ValueError("not today")
    data = torch.tensor(value.values)
    return Score(data > 1 if truth else data, torch.ones(len(data), dtype=torch.long))


@node("fails.vector", stored=True)
def vector(value: PerItem[int]) -> Features:
    """Features of a thing that can't always be looked at."""
    if not is_abstract() and BAD.intersection(value.values):
        raise ValueError("not today")
    return Features(torch.tensor([[float(v), float(v) ** 2] for v in value.values]), "eye")


@node("fails.reference", stored=True)
def reference(count: int = 10) -> Moments:
    """Of a standard normal."""
    eye = torch.eye(2, dtype=torch.float64)
    return Moments(torch.tensor([count]), torch.zeros(1, 2, dtype=torch.float64), count * eye[None], "eye")


@node("fails.double", stored=True)
def double(x: Score) -> Score:
    """Twice."""
    return x * 2


@node("fails.sum", stored=True)
def total(x: Score, y: Score) -> Score:
    """x and y."""
    return Score(x.data + y.data, x.count)


@pytest.fixture
def lab(tmp_path, zoo_folder):
    for seen in (BAD, NAN):
        seen.clear()
    return Lab(tmp_path, zoo_folder)


GRAPH = """\
flowgen: 1
sweep: {value: {range: 20}}
nodes:
  one: {type: fails.number, value: $value}
  two: {type: fails.double, x: $one}
  all: {type: mean, of: $two, over: [value]}
outputs: [two, all]
"""


OWN = '''
import sys

import torch

from flowgen.values import PerItem, Score
from flowgen.values.random import is_abstract


def number(value: PerItem[int]) -> Score:
    """A number, if its file is sound."""
    if 13 in value.values and not is_abstract():
        sys.exit(SAID)
    return Score(value.tensor.float(), torch.ones(len(value.values), dtype=torch.long))
'''


def test_one_bad_item_fails_alone(lab):
    BAD.add(13)
    run = lab.run(GRAPH, options={"batch": 8})
    assert computed(run) == {"one": 19, "two": 19}
    assert [str(f) for f in run.failures] == [
        "one[value=13]: ValueError: no 13 today",
        "two[value=13]: it needs 'one', which failed",
        "all: 1 of the 20 items that it pools failed; write 'missing: skip' on this node to pool those that are left",
    ]
    found = run.results.two.values
    assert np.isnan(found[13])
    assert found[[0, 19]].tolist() == [0, 38]
    assert np.isnan(run.results["all"])
    BAD.clear()
    again = lab.run(GRAPH)
    assert computed(again) == {"one": 1, "two": 1, "all": 1}
    assert again.failures == []
    assert float(again.results["all"]) == 19


@pytest.mark.parametrize("said", ["bad input file", 3, None])
@pytest.mark.parametrize("workers", [0, 1])
def test_an_item_whose_node_calls_exit_fails_alone(lab, said, workers):
    (lab.folder / "own.py").write_text(OWN.replace("SAID", repr(said)))
    lab.load(GRAPH.replace("fails.number", "./own.py:number, store: always"))
    run = load(lab.folder / "g.yaml", imports=[lab.folder / "own.py"]).run(lab.store, lab.runs, workers=workers)
    assert computed(run) == {"one": 19, "two": 19}
    assert str(run.failures[0]) == "one[value=13]: the node called exit" + (f": {said}" if said else "")
    assert run.tally.deaths == 0


def test_missing_items_are_skipped_where_the_graph_says_so(lab):
    BAD.add(13)
    skipping = GRAPH.replace("over: [value]", "over: [value], missing: skip")
    assert lab.plan(skipping).keys["all"].values != lab.plan(GRAPH).keys["all"].values
    run = lab.run(skipping)
    assert float(run.results["all"]) == pytest.approx(2 * (sum(range(20)) - 13) / 19)
    assert int(run.results.all_count) == 19
    assert {failure.node for failure in run.failures} == {"one", "two"}
    again = lab.run(skipping)
    assert computed(again) == {}  # the same items are left: what they were pooled to is in the store
    assert again.results.load().identical(run.results.load())
    BAD.clear()
    whole = lab.run(skipping)
    assert float(whole.results["all"]) == 19
    assert int(whole.results.all_count) == 20


SKIPPING = """\
flowgen: 1
sweep: {value: {range: 5}, plus: {range: [100, 120]}}
nodes:
  one: {type: fails.number, value: $value}
  more: {type: fails.number, value: $plus}
  both: {type: fails.sum, x: $one, y: $more}
  mean: {type: mean, of: $both, over: [value], missing: skip}
  last: {type: fails.double, x: $mean}
outputs: [last]
"""


class Watching(Silent):
    """Sees what a living run holds when all is computed, and breaks off then."""

    def __init__(self, store):
        self.store, self.left = store, 20

    def done(self, receipt):
        self.left -= receipt.items * (receipt.stage == "last")
        if not self.left and receipt.seconds:
            self.held = self.store.leases.held()
            self.holds = [entry.name for entry in self.store.medium.entries("leases") if entry.name.endswith(".hold")]
            keep_within(self.store, 0)
            raise ValueError("no")


def items_of(store):
    """The items of a store."""
    return {bytes.fromhex(key) for about in store.index.blocks() for key, _ in store.index.rows(about.name)}


def test_what_is_made_without_items_that_failed_belongs_to_what_a_run_stands_on(lab, tmp_path):
    BAD.add(3)
    run, store = lab.run(SKIPPING), open_store(str(lab.store))
    assert run_keys(run.folder) == items_of(store) and len(items_of(store)) == 4 + 20 + 80 + 20 + 20
    assert pin(store, run.folder) == 144
    assert choose(store, keep=0, wanted=set()).going == []
    assert export(store, run_keys(run.folder), tmp_path / "moved.tar").missing == 0


def test_what_is_made_without_items_that_failed_is_held_and_pinned_before_a_run_ends(lab, monkeypatch):
    monkeypatch.setattr("flowgen.plan.cuts.PARCEL_FLOPS", 1.0)
    BAD.add(3)
    watching = Watching(store := open_store(str(lab.store)))
    with pytest.raises(ValueError, match="no"):
        lab.run(SKIPPING, options={"batch": 1, "events": watching})
    assert items_of(store) <= watching.held and len(items_of(store)) == 144
    assert len(watching.holds) <= 1 + 6  # 40 tasks made something else than was planned
    (folder,) = lab.runs.iterdir()
    assert run_keys(folder) >= items_of(store)
    pin(store, folder)
    keep_within(store, 0)
    assert len(items_of(store)) == 144


def test_nan_is_a_failure_and_never_stored(lab):
    NAN.update({3, 4})
    run = lab.run(GRAPH, options={"batch": 8})
    assert [(f.point, f.cause) for f in run.failures if f.node == "one"] == [
        ({"value": 3}, "'value.data' holds NaN or infinity"),
        ({"value": 4}, "'value.data' holds NaN or infinity"),
    ]
    NAN.clear()
    assert computed(lab.run(GRAPH)) == {"one": 2, "two": 2, "all": 1}


class Leaving(Silent):
    """Whose scheduler goes when something has failed, and all is well afterwards."""

    def done(self, receipt):
        if receipt.failed and BAD:
            BAD.clear()
            raise SchedulerGone


def test_what_failed_before_a_plan_was_made_anew_is_forgotten(lab):
    BAD.add(13)
    run = lab.run(
        GRAPH.replace("over: [value]", "over: [value], missing: skip"), options={"batch": 8, "events": Leaving()}
    )
    assert run.failures == [] and float(run.results["all"]) == 19
    last = read_records(run.folder / "events.jsonl")[0][-1]
    assert (last["event"], last["failed"], last["computed"]) == ("finished", 0, run.tally.computed())


def test_a_scheduler_that_does_not_come_back_ends_a_run_that_has_begun(lab, monkeypatch):
    BAD.add(13)
    there, asked = runner.client, []

    def once(where):
        asked.append(where)
        if len(asked) > 1:
            raise UserError("no Dask scheduler answers")
        return there(where)

    monkeypatch.setattr(runner, "client", once)
    with pytest.raises(RunFailed, match="'cluster' failed: no Dask scheduler answers"):
        lab.run(GRAPH, options={"events": Leaving()})
    assert len(asked) == 2


def test_a_plan_that_cannot_be_made_anew_ends_a_run_that_has_begun(lab, monkeypatch):
    BAD.add(13)
    planned = Experiment._plan

    def once(self, *arguments, **options):
        if not BAD:  # the scheduler is gone by then
            raise UserError("the file changed")
        return planned(self, *arguments, **options)

    monkeypatch.setattr(Experiment, "_plan", once)
    with pytest.raises(RunFailed, match="'plan' failed: the file changed"):
        lab.run(GRAPH, options={"events": Leaving()})


@pytest.mark.parametrize("good", [[], [19], list(range(8, 20)), [0, 1], [140, 141, 142]])
def test_good_items_among_many_that_fail_are_computed(lab, good):
    count = 200 if 140 in good else 20
    BAD.update(set(range(count)).difference(good))
    run = lab.run(GRAPH.replace("range: 20", f"range: {count}"))
    assert computed(run) == ({"one": len(good), "two": len(good)} if good else {})
    assert {f.point["value"]: f.cause for f in run.failures if f.node == "one"} == {
        n: f"ValueError: no {n} today" for n in BAD
    }


WHOLE = """\
flowgen: 1
sweep: {value: [1, 2, 3, 4]}
nodes:
  number: {type: fails.whole, value: $value}
  truth: {type: fails.whole, value: $value, truth: true}
outputs: {number: {from: $number, save: n.csv}, truth: {from: $truth, save: t.csv}, curve: {x: $number, y: $truth}}
"""


def test_whole_numbers_and_truth_values_that_failed_count_for_nothing(lab):
    BAD.add(2)
    run = lab.run(WHOLE)
    found = run.results.load()
    assert [float(found[name].mean()) for name in ("number", "truth")] == [8 / 3, 2 / 3]
    np.testing.assert_array_equal(found.number, [1, np.nan, 3, 4])
    assert (run.folder / "n.csv").read_text().splitlines() == [
        "value,number,n",
        "1,1.0,1",
        "2,failed,0",
        "3,3.0,1",
        "4,4.0,1",
    ]
    assert (run.folder / "t.csv").read_text().splitlines()[1:3] == ["1,0.0,1", "2,failed,0"]
    assert (run.folder / "curves" / "curve.csv").read_text().splitlines()[2] == "2,failed,failed"
    said = Console(width=100, record=True, file=io.StringIO())
    said.print(scalar_table(found))
    assert said.export_text().count("failed") == 2
    assert (run.folder / "report.html").read_text().count(">failed</td>") == 2
    BAD.clear()
    whole = lab.run(WHOLE).results
    assert (whole.number.dtype, whole.truth.dtype) == (np.int64, np.bool_)


@node("fails.picture", stored=True)
def picture(x: Score) -> Image:
    """The number as a grey."""
    return Image(x.data[:, None, None, None].expand(-1, 3, 4, 6) / 20)


def test_an_output_without_any_result_is_there(lab):
    BAD.update(range(20))
    outputs = "outputs: {two: $two, all: $all, seen: $seen, curve: {x: $two, y: $two}}"
    shown = GRAPH.replace("of: $two", "of: $two, missing: skip")
    shown = shown.replace("outputs: [two, all]", "  seen: {type: fails.picture, x: $one}\n" + outputs)
    run = lab.run(shown)
    found = run.results.load()
    assert {name: found[name].shape for name in ("two", "all", "seen")} == {
        "two": (20,),
        "all": (),
        "seen": (20, 3, 4, 6),
    }
    assert all(np.isnan(found[name].values).all() for name in ("two", "all", "seen"))
    assert found.two_count.values.tolist() == [0] * 20
    assert [f.cause for f in run.failures if f.node == "all"] == ["20 of the 20 items that it pools failed"]
    said = Console(width=100, record=True, file=io.StringIO())
    said.print(scalar_table(found))
    assert said.export_text().count("failed") == 20 + 20
    assert "all: 20 of the 20 items that it pools failed" in (run.folder / "report.html").read_text(encoding="utf-8")
    BAD.clear()
    whole = lab.run(shown).results
    assert whole.attrs == found.attrs
    assert {n: (v.dims, v.dtype, v.attrs) for n, v in whole.variables.items()} == {
        n: (v.dims, v.dtype, v.attrs) for n, v in found.variables.items()
    }


FID = """\
flowgen: 1
sweep: {value: {range: 2}}
nodes:
  seen: {type: fails.vector, value: $value}
  real: {type: fails.reference}
  fid: {type: metric.fid, features: $seen, reference: $real, over: [value], missing: skip}
  two: {type: fails.double, x: $fid}
outputs: [fid, two]
"""


def test_a_reduction_without_a_number_fails_and_says_why(lab):
    BAD.add(1)
    for again in (False, True):
        run = lab.run(FID)
        assert [str(f) for f in run.failures] == [
            "seen[value=1]: ValueError: not today",
            "fid: 'metric.fid' of 1 point is no number; it needs 3 for one that means something",
            "two: it needs 'fid', which failed",
        ], again
        assert np.isnan(run.results.fid)
        assert np.isnan(run.results.two)
    BAD.clear()
    whole = lab.run(FID)
    assert whole.failures == []
    # points (0, 0) and (1, 1): mean (.5, .5), a covariance with one eigenvalue, 1; the reference's are 10 / 9
    assert float(whole.results.fid) == pytest.approx(0.5 + 1 + 20 / 9 - 2 * (10 / 9) ** 0.5)
    assert float(whole.results.two) == 2 * float(whole.results.fid)


def test_what_reads_a_reduction_that_skipped_is_another_item(lab):
    text = FID.replace("range: 2", "range: 3")
    BAD.add(2)
    for again in (False, True):
        run = lab.run(text)
        assert {failure.node for failure in run.failures} == {"seen"}, again
        assert float(run.results.two) == 2 * float(run.results.fid)
    assert computed(run) == {}
    part = float(run.results.two)
    BAD.clear()
    whole = lab.run(text)
    assert computed(whole) == {"seen": 1, "fid": 1, "two": 1}
    assert float(whole.results.two) == 2 * float(whole.results.fid) != part
