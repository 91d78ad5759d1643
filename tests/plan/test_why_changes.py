"""What is said to differ between an item and an earlier one: all that keys hold, and nothing that they don't."""

from typing import NamedTuple

import pytest
import torch
import toys  # noqa: F401  registers toy.number, toy.count and toy.scale
from small import Lab

from flowgen.execute.task import open_store
from flowgen.node import node
from flowgen.store import keys
from flowgen.store.history import History
from flowgen.values import PerItem, Score


class Both(NamedTuple):
    """Two outputs."""

    plus: Score
    minus: Score


@node("changes.both", stored=True)
def both(value: PerItem[int]) -> Both:
    """A number and its negative."""
    data, ones = torch.tensor([float(v) for v in value.values]), torch.ones(len(value.values), dtype=torch.long)
    return Both(Score(data, ones), Score(-data, ones))


@node("changes.twice", stored=True)
def twice(x: Score) -> Score:
    """Twice x."""
    return x * 2


POOLED = """\
flowgen: 1
sweep: {value: [1, 2]}
nodes:
  both: {type: changes.both, value: $value}
  all: {type: mean, of: $both.plus, over: [value]}
  twice: {type: changes.twice, x: $all}
outputs: [all, twice]
"""
UNNEEDED = """\
flowgen: 1
nodes:
  one: {type: toy.scale, x: $number, by: 2, store: always}
  number: {type: toy.number, value: 3}
  twice: {type: toy.scale, x: $one, by: 3, store: always}
outputs: [twice]
"""
STATES = """\
flowgen: 1
sweep: {start: [1, 2]}
nodes:
  one: {type: toy.number, value: $start}
  sum: {type: toy.count, start: $one, change: $more, steps: 4, trajectory: {at: [0.5, 1]}}
  more: {type: toy.scale, x: $sum.x, by: 0.5}
outputs: [sum.trajectory]
"""


@pytest.fixture
def lab(tmp_path, zoo_folder):
    return Lab(tmp_path, zoo_folder)


def said(lab, text, question, *changes):
    """The one reason for a graph with changes, in words."""
    found = {reason.text for reason in lab.load(text, *changes).why(question, lab.store, lab.runs).reasons}
    assert len(found) == 1
    return found.pop()


def test_another_output_of_the_same_node(lab):
    lab.run(POOLED)
    other = ("$both.plus", "$both.minus")
    assert said(lab, POOLED, "all", other) == "wiring changed: of of all was $both.plus, is $both.minus"
    parent = "parent changed: all (wiring changed: of of all was $both.plus, is $both.minus)"
    assert said(lab, POOLED, "twice", other) == parent


def test_what_a_reduction_does_with_failed_items(lab):
    lab.run(POOLED)
    skip = ("over: [value]", "over: [value], missing: skip")
    assert said(lab, POOLED, "all", skip) == "parameter changed: missing of all was fail, is skip"
    lab.run(POOLED, skip)
    assert said(lab, POOLED, "all", skip, ("[1, 2]", "[1, 2, 3]")).startswith("other points are pooled")


def test_a_state_that_no_run_showed(lab):
    lab.run(STATES)
    for marks in ("at: [0, 1]", "step: [0, 4]"):
        assert said(lab, STATES, "sum.trajectory[step=0]", ("at: [0.5, 1]", marks)) == (
            "parameter changed: step of sum.trajectory was 2, is 0"
        )
    assert lab.load(STATES, ("at: [0.5, 1]", "step: [2, 4]")).why("sum.trajectory", lab.store, lab.runs).known == 4


def test_what_recipes_of_earlier_versions_lack_has_not_changed(lab):
    lab.run(POOLED)
    lab.run(STATES)
    history = History(open_store(str(lab.store)).medium)
    for recipe in list(history.recipes())[::-1]:
        for about in recipe["nodes"].values():
            for name in ("missing", "step"):
                about["params"].pop(name, None)
        history.keep(recipe)
    history.medium.delete(history.names()[2:])
    assert said(lab, POOLED, "all", ("[1, 2]", "[1, 3]")).startswith("other points are pooled")
    changed = said(lab, STATES, "sum.trajectory[step=0.5]", ("steps: 4", "steps: 6"))
    assert changed == "parent changed: sum (parameter changed: steps of sum was 4, is 6)"


def test_what_a_run_neither_had_nor_needed_is_not_said_to_be_lost(lab):
    for stored in ("never", "always"):
        lab.run(UNNEEDED.replace("by: 2, store: always", f"by: 2, store: {stored}"))
        (reason,) = lab.load(UNNEEDED).why("one", lab.store, lab.runs).reasons
        assert (reason.state, reason.cause) == ("not needed", "unknown")


def test_what_keys_hold_and_runs_do_not_keep_is_not_said_to_be_lost(lab, monkeypatch):
    lab.run(POOLED)
    monkeypatch.setattr(keys, "node_head", lambda *fields: f"other {fields}")
    (reason,) = lab.load(POOLED).why("all", lab.store, lab.runs).reasons
    assert reason.cause == "unknown"
    assert reason.text.endswith(" differs, and nothing shows that it ever was in the store")


def test_what_is_not_chosen_is_no_reason(lab):
    text = (
        POOLED.replace("sweep: {value: [1, 2]}", "sweep: {value: [1, 2], w: [0, 1], kind: KIND}")
        .replace(
            "  all: {type: mean, of: $both.plus, over: [value]}\n",
            "  three: {type: changes.both, value: 3}\n  four: {type: changes.both, value: 4}\n"
            "  pick: {type: select, from: [$three, $four], index: $w}\n  case: {type: $kind, value: $value}\n"
            "  all: {type: mean, of: $case, over: [value, kind]}\n  plus: {type: changes.twice, x: $pick}\n",
        )
        .replace("KIND", "{cases: {p: {type: changes.both}, q: {type: changes.both, value: 9}}}")
    )
    text = text.replace("outputs: [all, twice]", "outputs: [plus, twice]")
    lab.run(text)
    four = "parent changed: four (parameter changed: value of four was 4, is 6)"
    three = ("value: 3}", "value: 5}")
    assert said(lab, text, "plus[w=1]", ("value: 4}", "value: 6}"), three) == four
    assert said(lab, text, "plus[w=1]", ("value: 4}", "value: 6}"), three, ("w: [0, 1]", "w: [1]")) == four
    nine = "parent changed: case@q (parameter changed: value of case@q was 9, is 8)"
    assert said(lab, text, "all", ("value: 9}", "value: 8}")) == nine
