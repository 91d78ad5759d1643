"""Other points and cases inside graphs that are used as nodes: a part's inputs are its own, whatever is around it."""

import pytest
import torch
import toys  # noqa: F401  registers toy.number and toy.scale

from flowgen.errors import UserError
from flowgen.experiment import load
from flowgen.node import node
from flowgen.values import PerItem, Score


@node("points.score")
def score(value: PerItem[float], other: PerItem[float]) -> Score:
    """The sum of two numbers."""
    data = value.tensor.double() + other.tensor
    return Score(data, torch.ones(len(data), dtype=torch.long))


PART = """\
flowgen: 1
inputs: {a: 1, b: 1}
nodes:
  n: {type: toy.number, value: $a}
  s: {type: toy.scale, x: $n, by: $b}
  m: {type: at, of: $s, a: 100}
outputs: [s, m]
"""
USE = """\
flowgen: 1
sweep: {a: [1, 2]}
nodes:
  u: {type: ./part.yaml, a: 5, b: $a}
outputs: {s: $u, m: $u.m}
"""
CASES = """\
flowgen: 1
inputs: {x: {type: Number}, two: 2}
sweep: {how: {cases: {twice: {type: toy.scale, by: $two}, same: toy.scale}}}
nodes:
  o: {type: $how, x: $x}
  t: {type: at, of: $o, how: twice}
outputs: [o, t]
"""
BETWEEN = """\
flowgen: 1
inputs: {x: {type: Number}, how: same, two: 3}
nodes:
  u: {type: ./part.yaml, x: $x, how: $how, two: $two}
outputs: {o: $u, t: $u.t}
"""
CHOOSING = """\
flowgen: 1
sweep: {two: [10, 20]}
nodes:
  n: {type: toy.number, value: $two}
  u: {type: ./part.yaml, x: $n, how: same}
outputs: {o: $u, t: $u.t}
"""


@pytest.fixture
def results(tmp_path):
    """Run a graph, with the parts that it uses beside it; values and axes of its outputs."""

    def run(text, **parts):
        for name, part in parts.items():
            (tmp_path / f"{name}.yaml").write_text(part)
        (tmp_path / "g.yaml").write_text(text)
        found = load(tmp_path / "g.yaml").run(tmp_path / "store", tmp_path / "runs").results
        return {name: (array.dims[:-1], array.values[..., 0].tolist()) for name, array in found.items()}

    return run


def test_another_point_in_a_part_sets_the_inputs_of_the_part(results):
    assert results(USE, part=PART) == {"s": (("a",), [5, 10]), "m": (("a",), [100, 200])}
    other = USE.replace("{a: [1, 2]}", "{z: [1, 2]}").replace("a: 5, b: $a", "a: $z, b: 3")
    assert results(other, part=PART) == {"s": (("z",), [3, 6]), "m": ((), 300)}


def test_another_point_in_a_part_of_a_part(results):
    between = """\
flowgen: 1
inputs: {b: 7, a: 2}
nodes: {u: {type: ./part.yaml, a: $b, b: $a}, w: {type: at, of: $u.m, a: 9}}
outputs: {s: $u, m: $u.m, w: $w}
"""
    use = USE.replace("./part", "./between").replace("m: $u.m", "m: $u.m, w: $u.w")
    found = results(use, part=PART, between=between)
    assert found == {"s": (("a",), [5, 10]), "m": ((), 500), "w": ((), 900)}


@pytest.mark.parametrize(
    ("axis", "value"), [("a: [1, 4]", "a: 4"), ("row: {rows: {low: {a: 1}, high: {a: 4}}}", "row: high")]
)
def test_another_point_of_an_axis_that_a_part_sweeps(results, axis, value):
    part = PART.replace("inputs: {a: 1, b: 1}", f"inputs: {{b: 1}}\nsweep: {{{axis}}}").replace("a: 100", value)
    assert results(USE, part=part)["m"] == (("a",), [4, 8])
    assert results(USE.replace("a: 5, ", ""), part=part)["s"] == (("a",), [1, 2])


def test_another_point_is_set_to_what_the_part_is_given(results):
    part = PART.replace("a: 100", "a: $b")
    assert results(USE, part=part)["m"] == (("a",), [1, 4])


def test_noise_in_a_part_is_that_of_the_other_point(tmp_path, zoo_folder):
    part = """\
flowgen: 1
inputs: {model: {type: Model}, word: {type: text}, seed: 0, anew: {type: axes, default: []}}
nodes:
  noise: {type: noise, model: $model, seed: $seed, per: $anew}
  other: {type: at, of: $noise, word: b}
  later: {type: at, of: $other, word: a, seed: 1}
outputs: [noise, other, later]
"""
    use = """\
flowgen: 1
sweep: {caption: [a, b], seed: {range: 2}}
nodes:
  digits: {type: model, from: ZOO/digits}
  u: {type: ./part.yaml, model: $digits, word: $caption, seed: $seed, anew: [caption]}
outputs: {noise: $u, other: $u.other, later: $u.later}
"""
    (tmp_path / "part.yaml").write_text(part)
    (tmp_path / "g.yaml").write_text(use.replace("ZOO", str(zoo_folder)))
    keys = load(tmp_path / "g.yaml").plan(tmp_path / "store").keys
    assert keys["u/other/noise"].values.tolist() == keys["u/noise"].values[1].tolist()
    assert keys["u/later/other/noise"].values.item() == keys["u/noise"].values[1, 1]


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ("of: $s, z: 1", "part.yaml:6:28: the graph has no input 'z' to set"),
        ("of: $n, b: 2", "part.yaml:6:3: nothing that 'n' is made from uses b"),
        ("of: $s, x: 1", "part.yaml:6:28: 'x' is fed by a node and can't be set"),
        ("of: $s, a: $x", "part.yaml:6:28: 'a' is an input and can't take a node"),
    ],
)
def test_wrong_points_in_a_part(results, point, said):
    with pytest.raises(UserError) as caught:
        results(USE, part=PART.replace("b: 1}", "b: 1, x: {type: Number}}").replace("of: $s, a: 100", point))
    assert said in str(caught.value)


def test_another_case_in_a_part(results):
    assert results(CHOOSING, part=CASES) == {"o": (("two",), [10, 20]), "t": (("two",), [20, 40])}


def test_a_choice_of_cases_is_handed_on_through_a_part(results):
    use = CHOOSING.replace("./part", "./between")
    assert results(use, part=CASES, between=BETWEEN) == {"o": (("two",), [10, 20]), "t": (("two",), [30, 60])}
    twice = use.replace("how: same", "how: twice, two: $two")
    assert results(twice, part=CASES, between=BETWEEN)["o"] == (("two",), [100, 400])
    own = use.replace("sweep: {", "sweep: {kind: {cases: {p: {type: toy.scale, by: $two}}}, ").replace(
        "how: same", "how: $kind"
    )
    assert results(own, part=CASES, between=BETWEEN)["o"] == (("kind", "two"), [[100, 400]])
    point = use.replace("outputs: {", "  w: {type: at, of: $v, kind: twice}\noutputs: {w: $w, ")
    point = point.replace("sweep:", "inputs: {kind: same}\nsweep:").replace(
        "  u:", "  v: {type: ./between.yaml, x: $n, how: $kind}\n  u:"
    )
    assert results(point, part=CASES, between=BETWEEN)["w"] == (("two",), [30, 60])


@pytest.mark.parametrize("file", ["part", "between"])
def test_cases_of_a_part_are_chosen_by_an_input_or_an_axis_of_texts(results, file):
    parts = {"part": CASES, "between": BETWEEN}
    use = CHOOSING.replace("./part", f"./{file}").replace("how: same", "two: 4, how: $kind")
    chosen = use.replace("sweep:", "inputs: {kind: twice}\nsweep:")
    assert results(chosen, **parts)["o"] == (("two",), [40, 80])
    swept = use.replace("sweep: {", "sweep: {kind: [twice, same], ")
    assert results(swept, **parts)["o"] == (("kind", "two"), [[40, 80], [10, 20]])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("how: same", "how: thrice", "g.yaml:5:38: 'how' has no case 'thrice'\n  did you mean 'twice'?"),
        ("how: same", "how: $two", "g.yaml:2:9: 'two' has no case 10\n  known: same, twice"),
        ("sweep: {", "inputs: {how: thrice}\nsweep: {", "g.yaml:6:38: 'how' has no case 'thrice'"),
        ("sweep: {", "sweep: {how: [same, thrice], ", "g.yaml:2:9: 'how' has no case 'thrice'"),
        ("sweep: {", "sweep: {r: {rows: {p: {how: same, b: 1}}}, ",
         "g.yaml:5:38: the type '$how' is no axis of cases"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("file", ["part", "between"])
def test_wrong_choices_of_a_part_are_told_where_they_are_made(results, file, old, new, said):
    use = CHOOSING.replace(old, new).replace("./part", f"./{file}")
    if old != "how: same":
        use = use.replace("how: same", "how: $how")
    place, message = said.split(": ", 1)
    column = 38 + (3 if file == "between" else 0)
    with pytest.raises(UserError) as caught:
        results(use, part=CASES, between=BETWEEN)
    assert f"{place.replace(':38', f':{column}')}: {message}" in str(caught.value)


POOLS = """\
flowgen: 1
inputs: {pool: {type: axes, default: [q]}}
sweep: {q: [1, 2], r: [3, 5]}
nodes:
  n: {type: points.score, value: $q, other: $r}
  m: {type: mean, of: $n, over: $pool}
  other: {type: at, of: $m, pool: r}
  both: {type: at, of: $m, pool: [q, r]}
outputs: [m, other, both]
"""


def test_another_point_pools_other_axes(tmp_path):
    part = POOLS.replace("sweep: {q: [1, 2], r: [3, 5]}\n", "").replace("}\nnodes", ", q: 0, r: 0}\nnodes")
    (tmp_path / "part.yaml").write_text(part)
    use = "nodes: {u: {type: ./part.yaml, q: $q, r: $r}}\noutputs: {m: $u, other: $u.other, both: $u.both}\n"
    for text in (
        POOLS,
        POOLS[: POOLS.index("nodes")].replace("inputs: {pool: {type: axes, default: [q]}}\n", "") + use,
    ):
        (tmp_path / "g.yaml").write_text(text)
        found = load(tmp_path / "g.yaml").run(tmp_path / "store", tmp_path / "runs").results
        assert (found.m.dims, found.m.values.tolist()) == (("r",), [4.5, 6.5])
        assert (found.other.dims, found.other.values.tolist()) == (("q",), [5, 6])
        assert (found.both.dims, found.both.values.tolist()) == ((), 5.5)


def test_cases_of_a_part_whose_names_read_as_numbers(results):
    part = CASES.replace("twice", "2").replace("same", "1").replace("{2:", '{"2":').replace(" 1: toy", ' "1": toy')
    use = CHOOSING.replace("how: same", "two: 2, how: $times").replace("sweep: {", "sweep: {times: [1, 2], ")
    assert results(use, part=part)["o"] == (("times", "two"), [[10, 20], [20, 40]])
    assert results(CHOOSING.replace("how: same", "how: 2"), part=part)["o"] == (("two",), [20, 40])
