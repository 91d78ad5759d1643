"""What receipts count: items that a run computed, whichever of its tasks did, and items that others published."""

from dataclasses import replace

from small import Lab
from test_crash_often import TOY

from flowgen.execute.driver import unheard
from flowgen.execute.flight import Task
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
