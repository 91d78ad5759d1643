"""Loops of toy nodes, against the closed forms of what they compute: places, schedules, carries, phases, nesting."""

from __future__ import annotations

import pytest
import toys  # noqa: F401  (registers the nodes)
from small import Lab

from flowgen.errors import UserError


@pytest.fixture
def lab(tmp_path, zoo_folder):
    return Lab(tmp_path, zoo_folder)


HEAD = "flowgen: 1\nsweep: {by: [0.5, 2], steps: [1, 3, 6], start: [1, 2, 3]}\nnodes:\n"


def totals(lab, body, batch=4, output="sum"):
    """The output at every point, by its coordinates."""
    results = lab.run(HEAD + body + f"\noutputs: [{output}]\n", options={"batch": batch}).results[output].load()
    stacked = results.stack(point=[d for d in results.dims if d in ("by", "steps", "start")])
    return {point: float(value) for point, value in zip(stacked.point.values, stacked.values.ravel(), strict=True)}


BODY = """\
  one: {type: toy.number, value: $start}
  sum: {type: toy.count, start: $one, change: $more, steps: $steps}
"""


def test_waiting_items_take_the_places_of_finished_ones(lab):
    found = totals(lab, BODY + "  more: {type: toy.scale, x: $sum.x, by: $by}", batch=4)
    assert found == {(by, n, s): s * (1 + by) ** n for by in (0.5, 2) for n in (1, 3, 6) for s in (1, 2, 3)}


def test_a_parameter_changes_with_the_step(lab):
    body = BODY + "  more: {type: toy.scale, x: $sum.x, by: {during: [0, 0.5], value: $by, else: 0}}"
    found = totals(lab, body, batch=5)
    for (by, steps, start), value in found.items():
        early = sum(i / steps < 0.5 for i in range(steps))
        assert value == start * (1 + by) ** early


def test_carries_go_with_their_items(lab):
    found = totals(lab, BODY + "  more: {type: toy.momentum, x: $sum.x, by: $by}", batch=4)
    for (by, steps, start), value in found.items():
        x, kept = start, 0.0
        for _ in range(steps):
            kept = kept / 2 + x
            x += kept * by
        assert value == x


TWO = """\
  one: {type: toy.number, value: $start}
  sum: {type: toy.two_phases, start: $one, first: $a, SECOND steps: $steps}
  a: {type: toy.scale, x: $sum.x, by: $by}
"""


def test_phases_are_evaluated_one_after_the_other(lab):
    body = TWO.replace("SECOND", "second: $b,") + "  b: {type: toy.scale, x: $sum.y, by: 0.25}"
    for (by, steps, start), value in totals(lab, body).items():
        x = start
        for _ in range(steps):
            x = x + by * x
            x = x * (0.25 * x)
        assert value == x


def test_an_optional_feedback_port_may_be_left_open(lab):
    for (by, steps, start), value in totals(lab, TWO.replace("SECOND", "")).items():
        assert value == start * (1 + by) ** steps


def test_a_loop_inside_a_loop(lab):
    body = BODY + (
        "  more: {type: toy.count, start: $sum.x, change: $inner, steps: 2}\n"
        "  inner: {type: toy.scale, x: $more.x, by: $by}\n"
    )
    for (by, steps, start), value in totals(lab, body).items():
        x = start
        for _ in range(steps):
            x += x * (1 + by) ** 2
        assert value == x


def test_a_state_that_changes_its_shape_is_found_before_running(lab):
    body = BODY.replace("toy.count", "toy.grows") + "  more: {type: toy.scale, x: $sum.x, by: $by}\n"
    with pytest.raises(UserError, match=r"g\.yaml:5:3: the state of 'toy\.grows' changes from step to step"):
        lab.load(HEAD + body + "outputs: [sum]\n").check()


def test_keys_of_a_body_hold_no_names(lab):
    body = BODY + "  more: {type: toy.scale, x: $sum.x, by: $by}"
    totals(lab, body)
    renamed = body.replace("more", "change_of_x").replace("one", "first")
    assert lab.plan(HEAD + renamed + "\noutputs: [sum]\n").compute == 0
    head = HEAD.replace("by: [0.5, 2], ", "")
    assert lab.plan(head + body.replace("by: $by", "by: 3") + "\noutputs: [sum]\n").compute == 9
