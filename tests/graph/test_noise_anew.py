"""What noise is drawn anew for: the axes and inputs under ``per``, in graphs, their parts and other points."""

import pytest
import torch
from small import Lab

from flowgen.errors import UserError
from flowgen.experiment import load
from flowgen.graph.build import salt

TABLE = """\
flowgen: 1
inputs: {grade: 0}
sweep: {caption: {csv: t.csv}, seed: {range: 2}}
nodes:
  digits: {type: model, from: ZOO/digits}
  noise: {type: noise, model: $digits, seed: $seed, per: [prompt]}
  words: {type: encoder.text, model: $digits, text: "${prompt} ${grade}"}
outputs: [noise, words]
"""
PART = """\
flowgen: 1
inputs: {model: {type: Model}, text: {type: text, default: none}, seed: 0, anew: {type: axes, default: []}}
nodes:
  noise: {type: noise, model: $model, seed: $seed, per: [text]}
  listed: {type: noise, model: $model, seed: $seed, per: $anew}
  other: {type: at, of: $noise, text: a red one}
outputs: [noise, listed, other]
"""
USE = TABLE.replace("{type: noise, model: $digits, seed: $seed, per: [prompt]}",
                    "{type: ./part.yaml, model: $digits, text: $prompt, seed: $seed, anew: [prompt]}")  # fmt: skip
ROWS = "prompt\na red one\na blue two\n"
GRADED = "prompt,grade\na red one,1\na blue two,2\n"


@pytest.fixture
def lab(tmp_path, zoo_folder):
    (tmp_path / "part.yaml").write_text(PART)
    (tmp_path / "t.csv").write_text(GRADED)
    return Lab(tmp_path, zoo_folder)


def keys(lab, text, name="noise", **inputs):
    return lab.plan(text, **inputs).keys[name].values.tolist()


def test_equal_numbers_are_drawn_for_alike():
    assert salt({"a": 1.0, "b": "1.0"}) == salt({"a": 1, "b": "1.0"}) == '{"a":1,"b":"1.0"}'
    assert salt({"a": 0.5}) == '{"a":0.5}'
    assert salt({"a": True}) == '{"a":true}'
    assert salt({"a": 1e300}) == salt({"a": int(1e300)})
    assert salt({}) == ""


def test_a_column_that_per_does_not_name_draws_nothing_anew(lab):
    graded, axis = keys(lab, TABLE), keys(lab, TABLE.replace("per: [prompt]", "per: [caption]"))
    (lab.folder / "t.csv").write_text(ROWS)
    assert keys(lab, TABLE) == keys(lab, TABLE.replace("per: [prompt]", "per: [caption]")) == graded
    assert axis[0] != graded[0]


def test_an_axis_of_the_name_wins(lab):
    text = TABLE.replace("csv: t.csv", "csv: t.csv, columns: {caption: prompt, grade: grade}")
    text = text.replace("${prompt} ${grade}", "${caption} ${grade}").replace("per: [prompt]", "per: [caption]")
    assert lab.load(text).graph.nodes["noise"].params["per"].values[0] == '{"caption":"a red one","grade":1}'


def test_an_input_named_in_a_part_is_what_the_part_is_given(lab):
    flat, graph = keys(lab, TABLE), lab.load(USE).graph
    assert graph.nodes["noise/noise"].axes == graph.nodes["noise/listed"].axes == ("caption", "seed")
    assert keys(lab, USE, "noise/noise") == keys(lab, USE, "noise/listed") == flat
    assert keys(lab, USE.replace("[noise, words]", "[noise, noise.other, words]"), "noise/other/noise") == flat[0]


def test_another_point_has_the_noise_of_its_own_text(lab):
    text = TABLE.replace("outputs: [", "  other: {type: at, of: $noise, prompt: a red one}\noutputs: [other, ")
    assert keys(lab, text, "other/noise") == keys(lab, TABLE)[0]
    with pytest.raises(UserError, match="nothing that 'noise' is made from uses grade"):
        lab.load(text.replace("prompt: a red one}", "grade: 1}")).check()


def test_a_point_that_is_left_has_its_noise_of_the_whole_sweep(lab):
    whole = keys(lab, TABLE)
    assert keys(lab, TABLE, seed=1) == [[row[1]] for row in whole]
    left = load(lab.folder / "g.yaml", where={"caption": 1}).plan(lab.store)
    assert left.keys["noise"].values.tolist() == whole[1:]


@pytest.mark.parametrize(("name", "hint"), [("promt", "did you mean 'prompt'"), ("fixed", "no axis sets that input")])
def test_per_names_an_axis_or_what_one_sets(lab, name, hint):
    text = TABLE.replace("per: [prompt]", f"per: [{name}]").replace("grade: 0", "grade: 0, fixed: 1")
    with pytest.raises(UserError, match=rf"g.yaml:6:58: 'per' names no axis '{name}'\n  {hint}"):
        lab.load(text).check()


def test_the_largest_seed_draws_what_torch_draws(lab):
    text = TABLE.replace("seed: $seed, per: [prompt]", "seed: $seed").replace("seed: {range: 2}", "seed: [4294967295]")
    drawn = lab.run(text).results["noise"].values[0]
    expected = torch.randn(drawn.shape, generator=torch.Generator().manual_seed(4294967295))
    assert torch.equal(torch.from_numpy(drawn), expected)
