"""Points that a draw with replacement takes again: noise is drawn anew for each, and stays a point's own."""

import pytest
import toys  # noqa: F401  registers toy.number and toy.scale
from small import Lab

from flowgen.experiment import load

GRAPH = """\
flowgen: 1
sweep: {r: {draw: [red, blue], n: 6, replace: true}}
nodes:
  digits: {type: model, from: ZOO/digits}
  noise: {type: noise, model: $digits, seed: 0, per: [r]}
  words: {type: encoder.text, model: $digits, text: $r}
outputs: [noise, words]
"""
PLAIN = GRAPH.replace("{draw: [red, blue], n: 6, replace: true}", "[red, blue]")
ROWS = GRAPH.replace("[red, blue]", "{rows: {a: {text: red, n: 1}, b: {text: blue, n: 2}}}").replace(
    "text: $r", 'text: "${text} ${n}"'
)
CASES = """\
flowgen: 1
sweep: {r: {draw: {cases: {red: {type: noise}, blue: {type: noise, seed: 1}}}, n: 6, replace: true}}
nodes:
  digits: {type: model, from: ZOO/digits}
  noise: {type: $r, model: $digits, seed: 0, per: [r]}
  second: {type: at, of: $noise, r: "red #2"}
  first: {type: at, of: $noise, r: red}
outputs: [noise, first, second]
"""


@pytest.fixture
def lab(tmp_path, zoo_folder):
    return Lab(tmp_path, zoo_folder)


def labelled(lab, text, name="noise", **options):
    """A node's keys by label of the axis."""
    plan = left(lab, text, **options)
    return dict(zip(plan.graph.document.axes["r"].labels, plan.keys[name].values.ravel().tolist(), strict=True))


def left(lab, text, **options):
    """The plan of what is left of a sweep."""
    lab.load(text)
    return load(lab.folder / "g.yaml", **options).plan(lab.store)


def test_points_that_come_again_have_noise_of_their_own(lab):
    drawn, plain = labelled(lab, GRAPH), labelled(lab, PLAIN)
    assert sorted(drawn) == ["blue", "blue #2", "blue #3", "blue #4", "red", "red #2"]
    assert len({*drawn.values()}) == 6
    assert {label: drawn[label] for label in plain} == plain
    more = labelled(lab, GRAPH.replace("n: 6", "n: 9"))
    assert {label: more[label] for label in drawn} == drawn


def test_what_draws_nothing_is_one_item_for_them(lab):
    assert len({*labelled(lab, GRAPH, "words").values()}) == 2


def test_a_point_that_is_left_has_its_noise_of_the_whole(lab):
    drawn = labelled(lab, GRAPH)
    assert labelled(lab, GRAPH, where={"r": "blue #3"}) == {"blue #3": drawn["blue #3"]}
    assert labelled(lab, GRAPH, where={"r": "blue|red #2"}) == {n: drawn[n] for n in ("blue", "red #2")}
    assert labelled(lab, GRAPH, set={"r": "blue"}) == {"blue": drawn["blue"]}


@pytest.mark.parametrize("per", ["r", "text"])
@pytest.mark.parametrize("where", [{}, {"r": "a"}])
def test_another_point_is_one_of_those_drawn(lab, per, where):
    text = ROWS.replace("per: [r]", f"per: [{per}]")
    drawn = labelled(lab, text)
    assert len({*drawn.values()}) == 6
    points = '  second: {type: at, of: $noise, r: "b #2"}\n  first: {type: at, of: $noise, r: b}\n'
    plan = left(lab, text.replace("outputs: [", f"{points}outputs: [first, second, "), where=where)
    assert plan.keys["second/noise"].values.item() == drawn["b #2"]
    assert plan.keys["first/noise"].values.item() == drawn["b"]


def test_another_value_is_the_point_that_was_drawn_first(lab):
    plan = lab.plan(GRAPH.replace("outputs: [", "  first: {type: at, of: $noise, r: blue}\noutputs: [first, "))
    assert plan.keys["first/noise"].values.item() == labelled(lab, GRAPH)["blue"]


def test_cases_that_come_again(lab):
    plan = lab.plan(CASES)
    drawn = labelled(lab, CASES)
    assert len({*drawn.values()}) == 6
    assert plan.keys["first/noise"].values.item() == drawn["red"]
    assert plan.keys["second/noise"].values.item() == drawn["red #2"]


def test_noise_in_a_part(lab):
    (lab.folder / "part.yaml").write_text("""\
flowgen: 1
inputs: {model: {type: Model}, word: {type: text}, anew: {type: axes}}
nodes:
  noise: {type: noise, model: $model, seed: 0, per: $anew}
  own: {type: noise, model: $model, seed: 0, per: [word]}
  blue: {type: at, of: $noise, word: blue}
outputs: [noise, own, blue]
""")
    use = GRAPH.replace("seed: 0, per: [r]", "word: $r, anew: [r]").replace("type: noise", "type: ./part.yaml")
    plan = lab.plan(use.replace("outputs: [noise", "outputs: [noise, noise.own, noise.blue"))
    drawn = labelled(lab, GRAPH)
    assert plan.keys["noise/noise"].values.tolist() == plan.keys["noise/own"].values.tolist() == [*drawn.values()]
    assert plan.keys["noise/blue/noise"].values.item() == drawn["blue"]


def test_a_draw_of_a_draw(lab):
    text = GRAPH.replace("draw: [red, blue], n: 6", "draw: {draw: [red, blue], n: 4, replace: true}, n: 8")
    assert len({*labelled(lab, text).values()}) == 8
