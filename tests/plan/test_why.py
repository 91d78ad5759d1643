"""Why an item is in the store or has to be computed: every reason, against changes made on purpose."""

import dataclasses
import json
import shutil

import pytest
import torch
from click.testing import CliRunner
from small import SMALL, Lab

import flowgen.node.registry as registry
from flowgen.cli import flowgen as command
from flowgen.errors import UserError
from flowgen.execute.task import open_store
from flowgen.node import node
from flowgen.plan.trajectories import as_text
from flowgen.store.collect import collect
from flowgen.store.compact import compact, plan
from flowgen.values import PerItem, Score
from flowgen.values.random import is_abstract

BAD: set[int] = set()
"""values that fail now"""


@node("why.number", stored=True)
def number(value: PerItem[int]) -> Score:
    """A number that can't always be had."""
    for found in value.values:
        if found in BAD and not is_abstract():
            raise ValueError(f"no {found} today")
    data = torch.tensor([float(v) for v in value.values])
    return Score(data, torch.ones(len(data), dtype=torch.long))


@node("why.doubled", stored=True)
def doubled(value: PerItem[int]) -> Score:
    """Twice a number."""
    return number(value) * 2


@node("why.twice", stored=True)
def twice(x: Score) -> Score:
    """Twice x."""
    return x * 2


FEW = SMALL.replace("{range: 3}", "[0, 1]").replace("[image, clip, fid]", "[image, fid]")


@pytest.fixture(scope="module")
def ran(tmp_path_factory, zoo_folder):
    """A store in which FEW was computed."""
    lab = Lab(tmp_path_factory.mktemp("ran"), zoo_folder)
    lab.run(FEW)
    return lab


@pytest.fixture
def lab(tmp_path, zoo_folder):
    return Lab(tmp_path, zoo_folder)


def asked(lab, question, *changes):
    """The answer for FEW with changes."""
    return lab.load(FEW, *changes).why(question, lab.store, lab.runs)


def only(answer):
    """The one reason."""
    (reason,) = answer.reasons
    return reason


def test_nothing_like_it_was_computed(lab):
    reason = only(asked(lab, "sampler[prompt=a red three,guidance=4,seed=0]"))
    assert (reason.state, reason.cause) == ("to compute", "never computed")
    assert reason.text == "never computed: no run has computed a 'scheduler.ddim' yet"


def test_what_is_in_the_store_says_since_when_and_by_whom(ran):
    answer = asked(ran, "image[seed=1,guidance=4,prompt=a red three]")
    reason = only(answer)
    assert (answer.asked, answer.known, reason.state) == (1, 1, "in the store")
    assert reason.point == {"prompt": "a red three", "guidance": 4, "seed": 1}
    (folder,) = ran.runs.iterdir()
    assert reason.stored["runs"] == [folder.name]
    assert 0 < reason.stored["seconds"] < 60
    assert reason.stored["block"][:12] in reason.text
    assert open_store(str(ran.store)).manifest(reason.stored["block"])["provenance"]["node"] == "image"


def test_an_item_of_a_block_that_was_written_anew_keeps_its_run(lab):
    lab.run(FEW)
    question = "image[seed=1,guidance=4,prompt=a red three]"
    before = only(asked(lab, question)).stored
    store = open_store(str(lab.store))
    for seeds in ("[0, 1, 2]", "[0, 1, 2, 3]"):  # what was written anew may be again
        lab.run(FEW, ("[0, 1]", seeds))
        compact(store, plan(store))
    after = only(asked(lab, question))
    assert after.stored["block"] != before["block"]
    assert after.stored["runs"] == before["runs"]
    assert f" by {before['runs'][0]}" in after.text


def test_a_changed_parameter_is_named_with_both_values(ran):
    reason = only(asked(ran, "sampler[prompt=a red three,seed=0]", ("[1, 4]", "[3.5]")))
    assert reason.text == "parameter changed: scale of guided was 4, is 3.5"
    assert reason.nearest["point"] == {"prompt": "a red three", "guidance": "4", "seed": "0"}
    steps = asked(ran, "sampler", ("steps: 4", "steps: 5"))
    assert {r.text for r in steps.reasons} == {"parameter changed: steps of sampler was 4, is 5"}
    assert (steps.asked, steps.known) == (8, 0)


def test_a_parent_is_followed_to_what_changed(ran):
    reason = only(asked(ran, "image[prompt=a red three,guidance=4,seed=0]", ("steps: 4", "steps: 5")))
    assert reason.text == "parent changed: sampler (parameter changed: steps of sampler was 4, is 5)"
    (change,) = reason.changes
    assert (change.kind, change.node) == ("parent", "sampler")
    assert dataclasses.asdict(change.because[0]) == {
        "kind": "parameter", "node": "sampler", "what": "steps", "old": "4", "new": "5", "because": (),
    }  # fmt: skip
    negative = only(asked(ran, "image[prompt=a red three,guidance=4,seed=0]", ('text: ""', 'text: "blurry"')))
    root = 'parent changed: empty (parameter changed: text of empty was "", is blurry)'
    assert negative.text == f"parent changed: sampler ({root})"


def test_a_node_of_another_type_is_farther_than_a_changed_parameter(lab):
    one = FEW.replace("guidance: [1, 4]", "guidance: [4]").replace("seed: [0, 1]", "seed: [0]")
    one = one.replace("[image, fid]", "[image]")
    lab.run(one)
    lab.run(one.replace("scheduler.ddim", "scheduler.euler").replace("seed: [0]", "seed: [7]"))
    answer = lab.load(one, ("steps: 4", "steps: 5")).why("image[prompt=a red three]", lab.store, lab.runs)
    assert only(answer).text == "parent changed: sampler (parameter changed: steps of sampler was 4, is 5)"


def test_what_a_point_leaves_unread_is_no_reason(ran):
    answer = asked(ran, "sampler[guidance=1]", ('text: ""', 'text: "blurry"'))
    assert (answer.asked, answer.known) == (4, 4)


def test_other_weights_name_the_part(ran, zoo_folder):
    tuned = ran.folder / "tuned"
    shutil.copytree(zoo_folder, tuned, dirs_exist_ok=True)
    weights = tuned / "digits" / "vae" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(bytes(data))
    reason = only(
        asked(ran, "image[prompt=a red three,guidance=4,seed=0]", ("from: ZOO/digits}", "from: tuned/digits}"))
    )
    (change,) = reason.changes
    assert (change.kind, change.what) == ("weights", "vae of digits")
    assert change.old != change.new


def test_a_new_version_of_a_node(ran, monkeypatch):
    newer = dataclasses.replace(registry.node_type("decoder.vae"), version=2)
    monkeypatch.setitem(registry._TYPES, "decoder.vae", newer)
    reason = only(asked(ran, "image[prompt=a red three,guidance=4,seed=0]"))
    assert reason.text == "node version changed: decoder.vae was 1, is 2"
    assert asked(ran, "sampler").known == 8


def test_other_numerics(ran):
    changes = asked(ran, "text[prompt=a red three]", ("flowgen: 1", "flowgen: 1\nnumerics: strict")).reasons[0].changes
    assert ("numerics", "mode", "fast", "strict") in {(c.kind, c.what, c.old, c.new) for c in changes}


def test_a_reduction_over_other_points(ran):
    reason = only(asked(ran, "fid[guidance=4]", ("[0, 1]", "[0, 1, 2]")))
    assert reason.text == "other points are pooled: seed was 2 points, is 3 points"


def test_a_node_wired_otherwise(ran):
    gone = [line for line in FEW.splitlines(True) if line.startswith(("  uncond", "  guided", "  guidance"))]
    changes = [(line, "") for line in gone] + [("prediction: $guided", "prediction: $cond")]
    reason = only(asked(ran, "image[prompt=a red three,seed=0]", *changes))
    assert reason.text == "parent changed: sampler (wiring changed: type of cond was guidance.cfg, is denoiser)"


def test_damaged_and_lost_items(lab):
    lab.run(FEW)
    store = open_store(str(lab.store))
    question = "image[prompt=a red three,guidance=4,seed=0]"
    block = only(asked(lab, question)).stored["block"]
    store.set_aside(block, "for the test")
    reason = only(asked(lab, question))
    assert reason.cause == "lost"
    assert reason.text.startswith("damaged: for the test, 2")
    store.index.path.unlink()  # what it remembers of lost items goes with it
    reason = only(asked(lab, question))
    (folder,) = lab.runs.iterdir()
    assert reason.text.startswith(f"{folder.name} computed it (")
    assert reason.text.endswith("and it is gone from the store")
    (folder / "stored.npz").unlink()  # nothing proves that it was there
    reason = only(asked(lab, question))
    assert (reason.cause, reason.nearest["run"]) == ("unknown", folder.name)
    assert reason.text.startswith(f"nothing that the history holds of {folder.name} (")
    shutil.rmtree(lab.store / "history")
    assert only(asked(lab, question)).cause == "never computed"


def test_a_newer_run_that_is_near_hides_neither_what_is_gone_nor_what_failed(lab):
    BAD.add(3)
    numbers = """\
flowgen: 1
sweep: {value: {range: 8}}
nodes:
  one: {type: why.number, value: $value}
  all: {type: mean, of: $one, over: [value], missing: skip}
outputs: [one, all]
"""
    whole = lab.run(numbers)
    BAD.clear()
    few = lab.run(numbers, ("{range: 8}", "[0, 1, 2]"))
    store = open_store(str(lab.store))
    held = store.find(as_text(key) for keys in whole.plan.keys.values() for key in keys.values.ravel())
    for block in {place.block for place in held.values()}:
        store.set_aside(block, "for the test")
    store.index.path.unlink()  # what it remembers of lost items goes with it
    experiment = lab.load(numbers)

    def said(question):
        return only(experiment.why(question, lab.store, lab.runs)).text

    assert said("one[value=3]") == f"it failed in {whole.folder.name}: ValueError: no 3 today"
    assert said("one[value=4]").startswith(f"{whole.folder.name} computed it (")
    assert said("one[value=2]").startswith(f"{few.folder.name} computed it (")
    assert said("all").startswith(f"{whole.folder.name} computed it (")


def test_what_was_made_without_items_that_failed_is_not_lost(lab):
    BAD.add(3)
    numbers = """\
flowgen: 1
sweep: {value: {range: 8}}
nodes:
  one: {type: why.number, value: $value}
  all: {type: mean, of: $one, over: [value], missing: skip}
  twice: {type: why.twice, x: $all}
outputs: [twice]
"""
    run = lab.run(numbers)
    for question in ("all", "twice"):
        reason = only(lab.load(numbers).why(question, lab.store, lab.runs))
        assert (reason.state, reason.cause) == ("to compute", "without failed")
        said = f"{run.folder.name} computed it ("
        assert reason.text.startswith(said)
        assert reason.text.endswith(") without items that failed, and it is in the store")
    store = open_store(str(lab.store))
    collect(store, [about for about in store.index.blocks() if about.type == "mean"])
    reason = only(lab.load(numbers).why("all", lab.store, lab.runs))
    assert reason.text.endswith(") without items that failed, and it is gone from the store")
    BAD.clear()
    lab.run(numbers)
    assert only(lab.load(numbers).why("all", lab.store, lab.runs)).cause == "stored"


def test_an_item_that_is_missing_and_not_needed(ran):
    store = open_store(str(ran.store))
    block = only(asked(ran, "empty")).stored["block"]
    store.set_aside(block, "for the test")
    assert only(asked(ran, "empty")).state == "not needed"


def test_many_items_are_counted_and_some_explained(ran):
    answer = asked(ran, "sampler", ("[0, 1]", "{range: 40}"), ("steps: 4", "steps: 6"))
    assert (answer.asked, answer.known, len(answer.reasons), answer.left) == (160, 0, 24, 136)


def test_the_command_says_it_in_words_and_in_json(ran):
    ran.load(FEW, ("[1, 4]", "[1, 4, 8]"))
    call = ["why", str(ran.folder / "g.yaml"), "sampler", "--store", str(ran.store), "--runs", str(ran.runs)]
    told = CliRunner().invoke(command, call, catch_exceptions=False).output.splitlines()
    assert told[0] == "sampler: 8 of 12 items in the store"
    assert told[1] == "sampler[prompt=a red three, guidance=8, seed=0] and 3 more: to compute"
    assert told[2] == "  parameter changed: scale of guided was 4, is 8"
    assert told[3].startswith("  beside sampler[prompt=a red three, guidance=4, seed=0] of 20")
    found = json.loads(CliRunner().invoke(command, [*call, "--json"], catch_exceptions=False).output)
    assert (found["version"], found["known"], found["asked"]) == (1, 8, 12)
    assert found["reasons"][0]["changes"][0]["old"] == "4"


SHORT = """\
flowgen: 1
sweep:
  kind: {cases: {plain: {type: why.number}, doubled: {type: why.doubled}}}
  value: [1, 2]
nodes:
  one: {type: $kind, value: $value}
  twice: {type: why.twice, x: $one}
  far: {type: at, of: $twice, value: 9}
  there: {type: at, of: $one, kind: plain}
  part: {type: ./part.yaml, x: $one}
  pair: {type: ./part.yaml, x: $twice}
outputs: {twice: $twice, far: $far, there: $there, part: $part, pair: $pair, inner: $pair.two}
"""
PART = """\
flowgen: 1
inputs: {x: {type: Score}}
nodes:
  two: {type: why.twice, x: $x}
  three: {type: why.twice, x: $two}
outputs: [three, two]
"""


def test_names_that_the_graph_was_written_with(lab):
    (lab.folder / "part.yaml").write_text(PART)

    def asked(question, *changes):
        return lab.load(SHORT, *changes).why(question, lab.store, lab.runs)

    lab.run(SHORT)
    answers = {name: asked(name) for name in ("one", "far", "there", "part", "one[kind=doubled,value=2]")}
    assert [(a.node, a.known, a.asked) for a in answers.values()] == [
        ("one", 4, 4), ("far/twice", 2, 2), ("there/one", 2, 2), ("part/three", 4, 4), ("one", 1, 1),
    ]  # fmt: skip
    assert only(answers["one[kind=doubled,value=2]"]).point == {"kind": "doubled", "value": 2}
    more = ("value: [1, 2]", "value: [1, 2, 3]")
    new = [reason for reason in asked("one", more).reasons if reason.cause == "changed"]
    assert [reason.point for reason in new] == [{"kind": "plain", "value": 3}, {"kind": "doubled", "value": 3}]
    assert [reason.changes[0].node for reason in new] == ["one@plain", "one@doubled"]
    with pytest.raises(UserError) as error:
        asked("pair")
    assert str(error.value) == "'pair' stands for 2 nodes\n  ask for one of pair/two, pair/three"
    with pytest.raises(UserError) as error:
        asked("nothing")
    assert "/" not in error.value.hint and "@" not in error.value.hint and "far" in error.value.hint


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("imag", "the graph has no node 'imag'\n  did you mean 'image'?"),
        ("image[colour=red]", "'image' doesn't vary along 'colour'\n  it varies along prompt, guidance, seed"),
        ("image[seed=9]", "the axis 'seed' has no point '9'"),
        ("image[seed=0", "lacks its ']'"),
        ("image[0]", "names no axis"),
        ("noise", "'noise' is cheap"),
        ("digits", "'digits' is a model"),
    ],
)
def test_wrong_questions(ran, question, said):
    with pytest.raises(UserError) as error:
        asked(ran, question)
    assert said in str(error.value)


def test_a_node_of_a_body_is_answered_by_its_loop(ran):
    assert asked(ran, "guided[guidance=1]").node == "sampler"
