"""Stored states of loops: trajectories, resumed runs, and what a checkpoint saves later, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import toys
from small import Lab

from flowgen.errors import UserError
from flowgen.execute.task import open_store
from flowgen.plan import checkpoints

COUNT = """\
flowgen: 1
sweep: {start: [1, 2], steps: [4, 8]}
nodes:
  one: {type: toy.number, value: $start}
  sum: {type: toy.count, start: $one, change: $more, steps: $steps, MARKS}
  more: {type: toy.counted, x: $sum.x, by: 0.5}
  twice: {type: toy.scale, x: $sum.trajectory, by: 2}
outputs: [OUTPUTS]
"""


@pytest.fixture
def lab(tmp_path, zoo_folder):
    toys.calls.clear()
    toys.fail_after.clear()
    return Lab(tmp_path, zoo_folder)


@pytest.fixture
def labs(tmp_path, zoo_folder):
    def make(name):
        (tmp_path / name).mkdir()
        return Lab(tmp_path / name, zoo_folder)

    return make


def count(marks, outputs="sum"):
    text = COUNT.replace("MARKS", marks).replace("OUTPUTS", outputs)
    return text if "trajectory" in marks else text.replace(next(li for li in text.splitlines() if "twice" in li), "")


def items():
    """Items that toy.counted was given since the last time."""
    found = sum(toys.calls)
    toys.calls.clear()
    return found


def test_each_case_has_its_trajectory(lab):
    text = count("trajectory: {at: [0, 0.25, 1]}", "sum.trajectory, twice")
    cases = "way: {cases: {short: {type: toy.count, steps: 4}, long: {type: toy.count, steps: 8}}}"
    text = text.replace("steps: [4, 8]", cases).replace("type: toy.count, start: $one", "type: $way, start: $one")
    results = lab.run(text.replace("steps: $steps, ", "")).results.load()
    for start in (1, 2):
        for way, steps in (("short", 4), ("long", 8)):
            states = np.array([start * 1.5 ** round(at * steps) for at in (0, 0.25, 1)])
            assert results.twice.sel(start=start, way=way).values.ravel() == pytest.approx(2 * states)
            assert results["sum.trajectory"].sel(start=start, way=way).values.ravel() == pytest.approx(states)


def test_a_trajectory_is_an_axis(lab):
    run = lab.run(count("trajectory: {at: [0, 0.25, 1]}", "sum.trajectory, twice, sum"))
    results = run.results.load()
    assert items() == 2 * (4 + 8)
    assert results.step.values.tolist() == [0, 0.25, 1]
    for start in (1, 2):
        for steps in (4, 8):
            here = results.sel(start=start, steps=steps)
            states = [start * 1.5 ** round(at * steps) for at in (0, 0.25, 1)]
            assert here["sum.trajectory"].values.ravel().tolist() == states
            assert here["twice"].values.ravel().tolist() == [2 * x for x in states]
            assert float(here["sum"].squeeze()) == states[-1]
    assert lab.plan(count("trajectory: {at: [0, 0.25, 1]}", "sum.trajectory, twice, sum")).compute == 0
    assert items() == 0


def test_a_trajectory_asked_for_later_runs_the_loop_again_and_keeps_its_results(lab):
    lab.run(count("checkpoint: {at: [0.5]}"))
    items()
    run = lab.run(count("checkpoint: {at: [0.5]}, trajectory: {at: [0.75]}", "sum.trajectory"))
    assert items() == 2 * (2 + 4)  # from the states in the middle
    assert [len(m["keys"]) for m in (run_manifest(lab, b) for r in run.tally.receipts for b in r.blocks)] == [2, 2]
    expected = [[start * 1.5**n] for start in (1, 2) for n in (3, 6)]
    assert run.results["sum.trajectory"].values.reshape(4, 1).tolist() == expected


def test_a_trajectory_is_made_where_another_loop_has_the_same_results(lab):
    twin = "  other: {type: toy.count, start: $one, change: $same, steps: $steps}\n"
    twin += "  same: {type: toy.counted, x: $other.x, by: 0.5}\n"
    text = count("trajectory: {at: [0.5]}", "other, sum, sum.trajectory").replace("  sum:", twin + "  sum:")
    results = lab.run(text).results.load()
    for start in (1, 2):
        for steps in (4, 8):
            here = results.sel(start=start, steps=steps)
            assert float(here["sum"].squeeze()) == float(here["other"].squeeze()) == start * 1.5**steps
            assert float(here["sum.trajectory"].squeeze()) == start * 1.5 ** (steps // 2)


def run_manifest(lab, block):
    return open_store(str(lab.store)).manifest(block)


@pytest.mark.parametrize(
    ("marks", "last"),
    [("{every: 3}", 6), ("{at: [0.5]}", 4), ("{step: [2, 5]}", 5), ("{step: [7]}", 0)],
)
def test_a_run_that_stopped_in_a_long_loop_goes_on_from_the_last_checkpoint(lab, marks, last):
    text = count(f"checkpoint: {marks}").replace("[1, 2]", "[3]").replace("[4, 8]", "[8]")
    toys.fail_after.append(6)  # the seventh step fails
    run = lab.run(text)
    assert [failure.node for failure in run.failures] == ["sum"]
    toys.fail_after.clear()
    items()
    plan = lab.plan(text)
    assert plan.parcels[0].steps == 8 - last
    assert float(lab.run(text).results["sum"].squeeze()) == 3 * 1.5**8
    assert items() == 8 - last


def test_states_that_an_earlier_run_marked_are_tried_too(lab, monkeypatch):
    text = count("checkpoint: {step: [2, 5]}").replace("[1, 2]", "[3]").replace("[4, 8]", "[8]")
    toys.fail_after.append(6)
    assert lab.run(text).failures
    toys.fail_after.clear()
    items()
    other = text.replace("{step: [2, 5]}", "{every: 4}")
    monkeypatch.setattr(checkpoints, "TRIED", 7)
    assert lab.plan(other).parcels[0].steps == 8
    monkeypatch.undo()
    monkeypatch.setattr(checkpoints, "UNMARKED", 7)
    unmarked = text.replace("checkpoint: {step: [2, 5]}, ", "").replace(", checkpoint: {step: [2, 5]}", "")
    assert "checkpoint" not in unmarked and lab.plan(unmarked).parcels[0].steps == 8
    monkeypatch.undo()
    assert lab.plan(unmarked).parcels[0].steps == 3
    assert float(lab.run(other).results["sum"].squeeze()) == 3 * 1.5**8
    assert items() == 3


def test_one_more_item_starts_where_it_parts_from_the_others(lab):
    text = count("checkpoint: {every: 1}").replace("by: 0.5", "by: {step: [5, 8], value: $late, else: 0.5}")
    text = text.replace("steps: [4, 8]", "steps: [8], late: [LATE]")
    lab.run(text.replace("LATE", "1"))
    assert items() == 2 * 8
    run = lab.run(text.replace("LATE", "1, 2, 3"))
    assert items() == 2 * 2 * 3
    found = run.results["sum"].sel(steps=8).squeeze()
    for start in (1, 2):
        for late in (1, 2, 3):
            assert float(found.sel(start=start, late=late)) == start * 1.5**5 * (1 + late) ** 3


def test_items_that_resume_share_what_lies_between_the_checkpoint_and_their_parting(lab):
    text = count("checkpoint: {step: [3]}").replace("by: 0.5", "by: {step: [5, 8], value: $late, else: 0.5}")
    text = text.replace("steps: [4, 8]", "steps: [8], late: [LATE]")
    lab.run(text.replace("LATE", "1"))
    items()
    lab.run(text.replace("LATE", "1, 2, 3, 4"))
    assert items() == 2 * (2 + 3 * 3)


def test_items_that_part_where_they_resume_share_that_step(lab):
    text = count("checkpoint: {step: [5]}").replace("more: {type: toy.counted, x: $sum.x, by: 0.5}", "more: MORE")
    text = text.replace("MORE", "{type: toy.scale, x: $half, by: {step: [5, 8], value: $late, else: 1}}")
    text = text.replace("outputs:", "  half: {type: toy.counted, x: $sum.x, by: 0.5}\noutputs:")
    text = text.replace("steps: [4, 8]", "steps: [8], late: [LATE]")
    lab.run(text.replace("LATE", "2"))
    assert items() == 2 * 8
    found = lab.run(text.replace("LATE", "2, 3, 4")).results["sum"].sel(steps=8).squeeze()
    assert items() == 2 * (1 + 2 * 2)
    for start in (1, 2):
        for late in (2, 3, 4):
            assert float(found.sel(start=start, late=late)) == start * 1.5**5 * (1 + late / 2) ** 3


@pytest.mark.parametrize("shown", [1, 2])
def test_an_item_whose_way_is_shown_passes_the_states_on_it(lab, shown):
    text = count("MARKS", "sum").replace("by: 0.5", "by: {step: [6, 8], value: $late, else: 0.5}")
    text = text.replace("steps: [4, 8]", "steps: [8], late: [LATE]").replace("[1, 2]", "[1]")
    lab.run(text.replace("MARKS", "checkpoint: {step: [5]}").replace("LATE", "3"))
    text = text.replace("MARKS", "checkpoint: {step: [5]}, trajectory: {step: [2, 4]}")
    text = text.replace(
        "outputs: [sum]", "  way: {type: toy.scale, x: $sum.trajectory, by: $late}\noutputs: [sum, way]"
    )
    other = lab.run(text.replace("LATE", str(3 - shown)))
    for block in (block for r in other.tally.receipts if r.stage == "sum" for block in r.blocks):
        next(lab.store.glob(f"blocks/*/{block}*")).unlink()
    open_store(str(lab.store)).rebuild_index()
    items()
    run = lab.run(text.replace("LATE", "1, 2"))  # the other's way is known; it needs the states behind step 5 alone
    assert items() == 8 + 2
    found = run.results["way"].squeeze()
    assert found.values.tolist() == [[late * 1.5**2, late * 1.5**4] for late in (1, 2)]
    assert run.results["sum"].values.ravel().tolist() == [1.5**6 * (1 + late) ** 2 for late in (1, 2)]


def starts(plan):
    """The steps at which a plan's items start."""
    return [start.step if start else 0 for cut in plan.parcels if cut.states for start in cut.states.resume]


def stop_at(monkeypatch, step):
    """Arrange that every loop raises when an item comes to a step."""
    from flowgen.execute.loop import LoopRun

    original = LoopRun.advance

    def advance(self, state):
        if step in self.at:
            raise RuntimeError("out of luck")
        return original(self, state)

    monkeypatch.setattr(LoopRun, "advance", advance)


WALK = """\
flowgen: 1
sweep: {seed: {range: 5}, by: [0.1, 0.2]}
nodes:
  walk: {type: toy.walk, seed: $seed, change: $push, steps: 9, checkpoint: {every: 4}}
  push: {type: toy.momentum, x: $walk.x, by: $by}
outputs: [walk]
"""


@pytest.mark.parametrize("stop", [3, 4, 6, 8])
def test_history_streams_and_carries_are_taken_up_again(labs, stop, monkeypatch):
    straight = labs("straight").run(WALK).results.load()
    lab = labs("resumed")
    stop_at(monkeypatch, stop)
    lab.run(WALK)
    monkeypatch.undo()
    assert lab.plan(WALK).nodes["walk"].compute == 10
    renamed = WALK.replace("push", "pushed")
    run = lab.run(renamed)  # what a state holds goes by no name
    assert set(starts(run.plan)) == {stop // 4 * 4}
    assert run.results.load().equals(straight)
    assert np.isfinite(straight.walk.values).all()


def test_checkpoints_are_in_no_key(lab):
    lab.run(count("checkpoint: {every: 2}"))
    assert lab.plan(count("checkpoint: {every: 3}")).compute == 0
    assert lab.plan(count("eta: 0").replace(", eta: 0", "")).compute == 0


@pytest.mark.parametrize(
    ("marks", "said"),
    [
        ("trajectory: {at: [0, 2]}", r"g\.yaml:5:\d+: 'trajectory: {at: \[0, 2\]}' names no states of a loop"),
        ("checkpoint: {every: 0}", r"'checkpoint: {every: 0}' names no states of a loop"),
        ("checkpoint: {often: 3}", r"'checkpoint' takes no 'often'"),
        ("trajectory: {every: 3}", r"'trajectory' takes no 'every'"),
        ("checkpoint: 5", r"'checkpoint' takes one way to say which states"),
        ("trajectory: {step: [2, 6]}", r"the trajectory shows 2 states, but a loop has 4 steps: too few"),
        ("trajectory: {at: [0, 0.01]}", r"shows 2 states, but a loop has 4 steps: so few that two fractions are one"),
    ],
)
def test_marks_that_mean_nothing_are_refused(lab, marks, said):
    with pytest.raises(UserError, match=said):
        lab.load(count(marks)).check()


def test_a_trajectory_has_to_be_declared_and_belongs_to_a_loop(lab):
    text = count("trajectory: {at: [0]}", "sum.trajectory")
    with pytest.raises(UserError, match=r"g\.yaml:7:31: 'sum' keeps no trajectory"):
        lab.load(text.replace(", trajectory: {at: [0]}", "")).check()
    with pytest.raises(UserError, match=r"'toy\.number' is no loop, so it takes no 'checkpoint'"):
        lab.load(text.replace("value: $start", "value: $start, checkpoint: {every: 1}")).check()
    with pytest.raises(UserError, match=r"makes an axis 'step', and the graph has one"):
        lab.load(text.replace("{start: [1, 2]", "{step: [1, 2], start: [1]")).check()
