"""What receipts count: items that a run computed, whichever of its tasks did, and items that others published."""

from dataclasses import replace

import pytest
from distributed import Client, Future
from small import Lab
from test_crash_often import TOY

from flowgen import runner
from flowgen.execute import driver
from flowgen.execute import task as tasks
from flowgen.execute.connection import SchedulerGone
from flowgen.execute.driver import unheard
from flowgen.execute.sent import Task
from flowgen.execute.task import Place, open_store, run_parcel


def test_what_a_lost_task_published_is_counted_by_its_own_run(tmp_path):
    lab = Lab(tmp_path, tmp_path)
    plan = lab.load(TOY).plan(lab.store)
    cut = next(cut for cut in plan.parcels if cut.stage == "first")
    code, parcel = plan.programs["first"], plan.parcel(cut)
    place = Place(str(lab.store))
    count = len(parcel)
    task = Task(0, cut, [], parcel)
    store = open_store(str(lab.store))
    assert unheard(task, store, place) is None
    first = run_parcel(code, parcel, place, False, [])
    assert (first.items, first.known, first.steps) == (count, 0, parcel.steps)
    again = run_parcel(code, parcel, place, False, [])
    assert (again.items, again.known, again.steps) == (count, 0, 0)  # no time was spent on them
    assert again.blocks == [] and again.found == first.blocks
    other = run_parcel(code, parcel, replace(place, run="another"), False, [])
    assert (other.items, other.known) == (0, count)
    counted = [unheard(task, store, by) for by in (place, replace(place, run="another"))]
    assert [(receipt.items, receipt.known) for receipt in counted] == [(count, 0), (0, count)]


@pytest.mark.parametrize("heard", [True, False])
def test_a_run_counts_what_tasks_say_and_what_they_return(tmp_path, monkeypatch, heard):
    """What a task says may be lost, and what it returns needn't be fetched if it wasn't."""
    said, fetched = [], []
    say, result = tasks.end, Future.result
    monkeypatch.setattr(tasks, "end", lambda receipt: said.append(receipt) or (say(receipt) if heard else None))
    monkeypatch.setattr(Future, "result", lambda future, *rest: fetched.append(future.key) or result(future, *rest))
    lab = Lab(tmp_path, tmp_path)
    tally = lab.run(TOY).tally
    assert tally.computed() == sum(receipt.items for receipt in said) > 0
    assert sorted(r.blocks for r in tally.receipts) == sorted(r.blocks for r in said)
    assert len(fetched) == (0 if heard else len(said))


def test_tasks_go_together_each_after_what_it_reads(tmp_path, monkeypatch):
    """Two stages of one item a parcel: a graph for many tasks, each told of those that it waits for."""
    monkeypatch.setattr("flowgen.plan.cuts.PARCEL_FLOPS", 1.0)
    graphs = []
    many = Client.map
    monkeypatch.setattr(Client, "map", lambda *given, **named: graphs.append(named["key"]) or many(*given, **named))
    tally = Lab(tmp_path, tmp_path).run(TOY, options={"batch": 1}).tally
    sent = [tuple(key.split("-")[1:3]) for graph in graphs for key in graph]
    assert len(tally.receipts) > 2 * len(graphs)
    assert sent == [(stage, str(n)) for n in range(6) for stage in ("first", "second", "third")]  # points end early
    ran = [(receipt.stage, receipt.number) for receipt in tally.receipts]
    assert len(ran) == len(sent)
    assert all(ran.index(("first", n)) < ran.index(("second", n)) < ran.index(("third", n)) for n in range(6))


@pytest.mark.parametrize("patience", [driver.BARREN, 0.0])
def test_a_scheduler_that_is_lost_again_and_again_ends_a_run_in_the_end(tmp_path, monkeypatch, patience):
    """Not while whoever starts it again may only be slow."""
    monkeypatch.setattr(driver, "BARREN", patience)
    there, lost = runner.client, [driver.ATTEMPTS + 1]

    def flapping(where):
        lost[0] -= 1
        if lost[0] >= 0:
            raise SchedulerGone
        return there(where)

    monkeypatch.setattr(runner, "client", flapping)
    lab = Lab(tmp_path, tmp_path)
    if patience:
        tally = lab.run(TOY).tally
        assert tally.computed() and len(tally.notes) == driver.ATTEMPTS + 1
    else:
        with pytest.raises(driver.RunFailed, match="the connection to the cluster's scheduler is lost"):
            lab.run(TOY)
        assert lost == [1]
