"""Other points of the sweep, selects and cases: equal to the same graphs written out, and never computed twice."""

import pytest
import torch
import toys  # noqa: F401  registers toy.number and toy.scale
from flowgen_nodes.routing.select import select
from small import SMALL, Lab, computed, to_compute

from flowgen.errors import UserError, WiringError
from flowgen.experiment import load
from flowgen.values import Noise, PerItem

BASE = SMALL.replace("[image, clip, fid]", "[image, plain]").replace(
    "nodes:\n", "nodes:\n  plain: {type: at, of: $image, guidance: 1}\n"
)
SWITCH = (
    SMALL.replace("sweep:\n", "inputs: {second: 0}\nsweep:\n")
    .replace(
        "  cond: {type: denoiser, x: $sampler.x, context: $text}",
        "  context: {type: select, from: [$text, $other], index: $second}\n"
        '  other: {type: encoder.text, text: "a green one"}\n'
        "  cond: {type: denoiser, x: $sampler.x, context: $context}",
    )
    .replace("[image, clip, fid]", "[image]")
)
SWITCHED = SWITCH.replace("inputs: {second: 0}\n", "").replace("$second", "{during: [0.5, 1], value: 1, else: 0}")
AGAIN = """\
nodes:
  plain: {type: at, of: $image, guidance: 1}
  again: {type: scheduler.ddim, start: $noise, init: $sampler.sample, strength: 0.5, prediction: $guided, steps: 4}
  cond2: {type: denoiser, x: $again.x, context: $text}
"""
CASES = SMALL.replace(
    "sweep:\n", "sweep:\n  solver: {cases: {ddim: {type: scheduler.ddim, eta: 0}, ddpm: scheduler.ddpm}}\n"
).replace("sampler: {type: scheduler.ddim", "sampler: {type: $solver")


@pytest.fixture
def lab(tmp_path, zoo_folder):
    return Lab(tmp_path, zoo_folder)


def keys(plan, name):
    return plan.keys[name].values


def test_classes_of_points_take_memory_along_the_axes_only_on_which_they_depend(lab):
    assert {name: column.axes for name, column in lab.load(SMALL).check().variants.items() if column.axes} == {}


def test_another_point_has_the_items_of_that_point_and_costs_nothing_new(lab):
    plan = lab.plan(BASE)
    assert keys(plan, "plain/image").tolist() == keys(plan, "image")[:, 0].tolist()
    assert plan.graph.nodes["plain/image"].axes == ("prompt", "seed")
    assert not any(name.startswith("plain/") for name in ("plain/text", "plain/noise") if name in plan.graph.nodes)
    assert sum(to_compute(plan)[n] for n in ("sampler", "plain/sampler") if n in to_compute(plan)) == 12
    made = [key for cut in plan.parcels for key in plan.parcel(cut).keys]
    assert len(made) == len(set(made))


def test_another_point_that_is_new_is_computed_and_labelled(lab):
    run = lab.run(BASE.replace("guidance: 1}", "guidance: 2}"), seed=0)
    assert sum(n for name, n in computed(run).items() if name.endswith("sampler")) == 2 * 2 + 2
    assert run.results.plain.dims[:2] == ("prompt", "seed")


@pytest.mark.parametrize("per", ["[prompt]", "$anew"])
def test_noise_that_is_drawn_anew_is_that_of_the_other_point(lab, per):
    text = BASE.replace("sweep:\n", "inputs: {anew: {type: axes, default: [prompt]}}\nsweep:\n")
    text = text.replace("per: [prompt]", f"per: {per}")
    plan = lab.plan(text.replace("guidance: 1}", "prompt: a red three}"))
    assert keys(plan, "plain/image").tolist() == keys(plan, "image")[0].tolist()


def test_a_constant_select_is_the_plain_wire(lab):
    plain = keys(lab.plan(), "image")
    assert keys(lab.plan(SWITCH), "image").tolist() == plain.tolist()
    swept = lab.plan(SWITCH.replace("inputs: {second: 0}\nsweep:\n", "sweep:\n  second: [0, 1]\n"))
    assert keys(swept, "image")[0].tolist() == plain.tolist()
    assert not set(keys(swept, "image")[1].ravel()) & set(plain.ravel())


def test_what_is_not_chosen_is_not_computed(lab):
    assert "other" not in to_compute(lab.plan(SWITCH))
    assert "text" not in to_compute(lab.plan(SWITCH, second=1))
    run = lab.run(SWITCH, second=1, seed=0, guidance=1)
    assert computed(run)["other"] == 1
    assert "text" not in computed(run)


def test_a_prompt_switched_in_the_loop_shares_its_beginning(lab):
    text = SWITCH.replace("second: 0", "late: 0").replace(
        "index: $second", "index: {step: [$late, 9], value: 1, else: 0}"
    )
    swept = text.replace("inputs: {late: 0}\nsweep:\n", "sweep:\n  late: [2, 4]\n")
    run = lab.run(swept, prompt="a red three", seed=0, guidance=1)
    assert run.plan.nodes["sampler"].items == 2
    assert run.tally.calls()["denoiser"][1] == 4 + 2  # two steps in common, then two and two
    plain = keys(lab.plan(prompt="a red three", seed=0, guidance=1), "image")
    assert keys(run.plan, "image")[1].tolist() == plain.tolist()  # step 4 never comes: 4 steps


@pytest.mark.parametrize("point", ["guidance: 1", "seed: 0"])
def test_another_point_of_a_loop_in_which_a_prompt_is_switched(lab, point):
    text = SWITCHED.replace("nodes:\n", f"nodes:\n  plain: {{type: at, of: $image, {point}}}\n")
    plan = lab.plan(text.replace("[image]", "[image, plain]"))
    taken = keys(plan, "image")[:, 0] if point.startswith("guidance") else keys(plan, "image")[:, :, 0]
    assert keys(plan, "plain/image").tolist() == taken.tolist()
    assert sum(to_compute(plan)[name] for name in ("image", "plain/image") if name in to_compute(plan)) == 12
    assert "plain/other" not in plan.graph.nodes


def test_another_point_leaves_the_switch_of_an_earlier_loop_alone(lab):
    text = (
        SWITCHED.replace("prediction: $guided", "prediction: $cond")
        .replace("cond: $cond,", "cond: $cond2,")
        .replace("x: $sampler.x, context: $empty", "x: $again.x, context: $empty")
        .replace("$sampler.sample", "$again.sample")
        .replace("nodes:\n", AGAIN)
    )
    plan = lab.plan(text.replace("[image]", "[image, plain]"))
    assert "plain/again" in plan.graph.nodes
    assert "plain/sampler" not in plan.graph.nodes
    assert keys(plan, "plain/image").tolist() == keys(plan, "image")[:, 0].tolist()


IN_LOOP = """\
flowgen: 1
sweep: {v: [1, 2], w: WAYS}
nodes:
  n: {type: toy.number, value: $v}
  c: {type: toy.count, start: $n, change: $half, steps: 3}
BRANCHES
  half: {type: toy.scale, x: $s, by: 0.5}
outputs: [c]
"""
TWICE = "  twice: {type: toy.scale, x: $c.x, by: 2}\n"
BRANCHES = {
    "one outside": (TWICE + "  s: {type: select, from: [$n, $twice], index: $w}", "[0, 1]"),
    "all inside": (
        TWICE + "  same: {type: toy.scale, x: $c.x, by: 1}\n  s: {type: select, from: [$same, $twice], index: $w}",
        "[0, 1]",
    ),
    "a loop inside": (
        TWICE + "  inner: {type: toy.count, start: $c.x, change: $more, steps: 2}\n"
        "  more: {type: toy.scale, x: $inner.x, by: 2}\n"
        "  s: {type: select, from: [$n, $twice, $inner], index: $w}",
        "[0, 1, 2]",
    ),
    "later": (
        TWICE + "  s: {type: select, from: [$n, $twice], index: {during: [0.4, 1], value: $w, else: 0}}",
        "[0, 1]",
    ),
}


@pytest.mark.parametrize("branches", BRANCHES)
@pytest.mark.parametrize("word", ["where", "set", "sweep"])
def test_a_point_of_a_select_in_a_loop_is_that_of_the_whole_sweep(lab, branches, word):
    text, ways = BRANCHES[branches]
    graph = IN_LOOP.replace("BRANCHES", text).replace("WAYS", ways)
    whole = lab.run(graph)
    for n in range(whole.results.sizes["w"]):
        some = load(lab.folder / "g.yaml", **{word: {"w": [n] if word == "sweep" else n}})
        plan = some.plan(lab.store)
        assert keys(plan, "c")[:, 0].tolist() == keys(whole.plan, "c")[:, n].tolist()
        assert to_compute(plan) == {}
        alone = some.run(lab.folder / f"store{n}", lab.runs).results
        assert alone.c.values[:, 0].tolist() == whole.results.c.values[:, n].tolist()


ORDER = """\
flowgen: 1
sweep: {w: [0, 1]}
nodes:
  n: {type: toy.number, value: 1}
  a: {type: toy.scale, x: $to_a, by: 2}
  b: {type: toy.scale, x: $to_b, by: 3}
  to_a: {type: select, from: [$n, $b], index: $w}
  to_b: {type: select, from: [$a, $n], index: $w}
outputs: [a, b]
"""


def test_selects_may_choose_the_order_of_nodes(lab):
    with pytest.raises(UserError, match="the cycle a → to_b → b → to_a → a passes through no feedback port"):
        lab.load(ORDER).check()
    for w, a, b in ((0, 2, 6), (1, 6, 3)):
        results = lab.run(ORDER, w=w).results
        assert (results.a.values.ravel().tolist(), results.b.values.ravel().tolist()) == ([a], [b])


def test_a_select_as_an_output_is_stored_where_it_comes_from(lab):
    text = SWITCH.replace("[image]", "[context]").replace("inputs: {second: 0}\nsweep:\n", "sweep:\n  second: [0, 1]\n")
    run = lab.run(text, seed=0, guidance=1)
    assert computed(run) == {"text": 2, "other": 1}
    assert run.results.context.dims[:2] == ("second", "prompt")


def test_a_case_has_the_keys_of_the_graph_without_cases(lab):
    cases = lab.plan(CASES)
    ddim = keys(lab.plan(SMALL.replace("start: $noise", "eta: 0, start: $noise")), "image")
    ddpm = keys(lab.plan(SMALL.replace("scheduler.ddim", "scheduler.ddpm")), "image")
    found = keys(cases, "image")
    assert cases.graph.nodes["image"].axes == ("solver", "prompt", "guidance", "seed")
    assert found[0].tolist() == ddim.tolist()
    assert found[1].tolist() == ddpm.tolist()
    assert cases.graph.nodes["sampler@ddim"].axes == ("prompt", "guidance", "seed")
    assert cases.graph.bodies["sampler@ddpm"] == ("cond@ddpm", "uncond@ddpm", "guided@ddpm")


def test_cases_are_run_pooled_chosen_and_named(lab):
    text = CASES.replace("over: [prompt, seed]", "over: [prompt, seed, solver]").replace(
        "text: $prompt}\n  empty", 'text: "${prompt}"}\n  empty'
    )
    run = lab.run(text, guidance=1)
    assert list(run.results.solver.values) == ["ddim", "ddpm"]
    assert run.results.fid_count.values.tolist() == [12]
    assert computed(run)["image"] == 12
    one = lab.load(text, guidance=1, solver="ddpm")
    assert to_compute(one.plan(lab.store)) == {"fid": 1}
    assert [n for n in one.graph.nodes if "@" in n] == [n for n in one.graph.nodes if n.endswith("@ddpm")]


def test_a_case_has_all_its_words(lab):
    said = "trajectory: {at: [0.5, 1]}, store: always, checkpoint: {at: "
    text = CASES.replace("eta: 0}", f"eta: 0, {said}[0.5]" + "}}")
    text = text.replace("ddpm: scheduler.ddpm", f"ddpm: {{type: scheduler.ddpm, {said}[1]" + "}}")
    graph = lab.load(text.replace("[image, clip, fid]", "[image, sampler.trajectory]")).graph
    entries = [graph.nodes[f"sampler@{case}"].entry for case in ("ddim", "ddpm")]
    assert [entry.checkpoint.values for entry in entries] == [(0.5,), (1,)]
    assert [entry.store for entry in entries] == ["always", "always"]
    shown = graph.nodes[graph.outputs["sampler.trajectory"].node]
    assert shown.axes == ("solver", "prompt", "guidance", "seed", "step")


def test_where_keeps_some_cases(lab):
    whole = keys(lab.plan(CASES), "image")
    kept = load(lab.folder / "g.yaml", where={"solver": "ddpm"}).plan(lab.store)
    assert keys(kept, "image").tolist() == whole[1:].tolist()
    assert not [name for name in kept.graph.nodes if name.endswith("@ddim")]
    with pytest.raises(UserError, match="the axis 'solver' has no point 'ddmp'\n  did you mean 'ddpm'"):
        load(lab.folder / "g.yaml", where={"solver": "ddmp"})


def test_two_axes_of_cases_in_one_loop_and_another_point_of_one(lab):
    text = CASES.replace(
        "sweep:\n", "sweep:\n  how: {cases: {cfg: guidance.cfg, same: {type: guidance.cfg, scale: 1}}}\n"
    )
    text = text.replace("type: guidance.cfg, cond", "type: $how, cond").replace(
        "nodes:\n", "nodes:\n  ref: {type: at, of: $image, solver: ddim, how: same}\n"
    )
    plan = lab.plan(text.replace("[image, clip, fid]", "[image, ref]"))
    assert plan.graph.nodes["image"].axes == ("how", "solver", "prompt", "guidance", "seed")
    assert keys(plan, "ref/image").tolist() == keys(plan, "image")[1, 0, :, 0].tolist()
    assert keys(plan, "image")[1, 0, :, 0].tolist() == keys(plan, "image")[1, 0, :, 1].tolist()


@pytest.mark.parametrize(
    ("solvers", "hows"), [(["a@b", "a"], ["b", "b@b"]), (["x", "x@y"], ["y", "z"]), (["", "@"], ["\\@", "@"])]
)
def test_cases_may_have_any_names(lab, solvers, hows):
    def cases(solvers, hows):
        solver = dict(zip(solvers, ["{type: scheduler.ddim, eta: 0}", "scheduler.ddpm"], strict=True))
        how = dict(zip(hows, ["{type: guidance.cfg, scale: 1}", "{type: guidance.cfg, scale: 4}"], strict=True))
        axes = [f"{{{', '.join(f'{label!r}: {piece}' for label, piece in axis.items())}}}" for axis in (solver, how)]
        return (
            SMALL.replace("sweep:\n", f"sweep:\n  solver: {{cases: {axes[0]}}}\n  how: {{cases: {axes[1]}}}\n")
            .replace("type: scheduler.ddim, start", "type: $solver, start")
            .replace(
                "type: guidance.cfg, cond: $cond, uncond: $uncond, scale: $guidance",
                "type: $how, cond: $cond, uncond: $uncond",
            )
            .replace("  guidance: [1, 4]\n", "")
            .replace("[image, clip, fid]", "[image]")
        )

    plain = keys(lab.plan(cases("pq", "rs")), "image")
    assert keys(lab.plan(cases(solvers, hows)), "image").tolist() == plain.tolist()


@pytest.mark.parametrize("kept", [{"set": {"solver": "ddpm"}}, {"where": {"solver": "ddpm"}}])
def test_another_point_may_be_a_case_that_is_not_swept_this_time(lab, kept):
    text = CASES.replace("nodes:\n", "nodes:\n  ref: {type: at, of: $image, solver: ddim, guidance: 4}\n")
    whole = lab.plan(text.replace("[image, clip, fid]", "[image, ref]"))
    part = load(lab.folder / "g.yaml", **kept).plan(lab.store)
    assert part.graph.nodes["image"].axes == ("solver", "prompt", "guidance", "seed")
    assert keys(part, "image").tolist() == keys(whole, "image")[1:].tolist()
    assert keys(part, "ref/image").tolist() == keys(whole, "image")[0, :, 1].tolist()


def test_a_case_that_is_not_swept_this_time_is_run(lab):
    text = CASES.replace("nodes:\n", "nodes:\n  ref: {type: at, of: $image, solver: ddim}\n")
    lab.load(text.replace("[image, clip, fid]", "[image, ref]"))
    run = load(lab.folder / "g.yaml", {"guidance": 1, "seed": 0}, where={"solver": "ddpm"}).run(lab.store, lab.runs)
    assert {name: n for name, n in computed(run).items() if "sampler" in name} == {"ref/sampler": 2, "sampler@ddpm": 2}
    assert run.results.ref.dims[:1] == ("prompt",)


def test_another_point_may_be_a_row_that_is_not_swept_this_time(lab):
    rows = "  how: {rows: {few: {steps: 2, eta: 0}, many: {steps: 6, eta: 0.5}}}\n"
    text = BASE.replace("sweep:\n", f"sweep:\n{rows}").replace("steps: 4", "steps: $steps, eta: $eta")
    whole = lab.plan(text.replace("of: $image, guidance: 1", "of: $image, how: many, guidance: 1"))
    part = load(lab.folder / "g.yaml", where={"how": "few"}).plan(lab.store)
    assert keys(part, "image").tolist() == keys(whole, "image")[:1].tolist()
    assert keys(part, "plain/image").tolist() == keys(whole, "image")[1, :, 0].tolist()
    lab.load(text.replace("of: $image", "of: $image, how: meny"))
    with pytest.raises(UserError, match="the axis 'how' has no point 'meny'\n  did you mean 'many'"):
        load(lab.folder / "g.yaml", where={"how": "few"}).check()


def test_cases_are_swept_from_outside_in_the_order_that_is_said(lab):
    whole = keys(lab.plan(CASES), "image")
    swept = load(lab.folder / "g.yaml", sweep={"solver": ["ddpm", "ddim"]}).plan(lab.store)
    assert keys(swept, "image").tolist() == whole[::-1].tolist()
    for labels, said in ((["ddmp"], "has no case 'ddmp'\n  did you mean"), (["ddim"] * 2, "twice"), ([], "no values")):
        with pytest.raises(UserError, match=f"the axis 'solver' .*{said}"):
            load(lab.folder / "g.yaml", sweep={"solver": labels})


@pytest.mark.parametrize(
    ("more", "labels"), [("n: 1", ["ddim"]), ("n: 3, seed: 1, replace: true", ["ddim", "ddpm", "ddpm #2"])]
)
def test_cases_are_drawn(lab, more, labels):
    whole = keys(lab.plan(CASES, guidance=1), "image")
    text = CASES.replace("{cases:", "{draw: {cases:").replace("scheduler.ddpm}}", f"scheduler.ddpm}}}}, {more}}}")
    text = text.replace("nodes:\n", f"nodes:\n  ref: {{type: at, of: $image, solver: '{labels[-1]}'}}\n")
    drawn = lab.plan(text.replace("[image, clip, fid]", "[image, ref]"), guidance=1)
    assert list(drawn.graph.document.axes["solver"].labels) == labels
    picked = [whole[["ddim", "ddpm"].index(label[:4])].tolist() for label in labels]
    assert keys(drawn, "image").tolist() == picked
    assert keys(drawn, "ref/image").tolist() == picked[-1]
    assert len([name for name in drawn.graph.nodes if name.startswith("sampler@")]) == len({n[:4] for n in labels})
    one = load(lab.folder / "g.yaml", {"solver": labels[-1], "guidance": 1}).plan(lab.store)
    assert keys(one, "image").tolist() == picked[-1:]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("ddmp", "the axis 'solver' has no case 'ddmp'\n  did you mean 'ddpm'?"),
        (["ddim"], "--set gives 'solver' one value, not ['ddim']\n  --sweep solver=1,2 gives the axis several, --where "
                   "keeps some of its points"),
    ],
)  # fmt: skip
def test_an_axis_of_cases_is_set_to_a_case(lab, value, said):
    with pytest.raises(UserError) as caught:
        lab.load(CASES, solver=value)
    assert str(caught.value) == said


WRONG = [
    (CASES, ("type: $solver", "type: $seed"), "the type '$seed' is no axis of cases"),
    (CASES, ("type: scheduler.ddim", "type: scheduler.dim"), "3:33: no node type 'scheduler.dim'"),
    (CASES, ("eta: 0}, ddpm", "etta: 0}, ddpm"), "has no port or parameter 'etta'\n  did you mean 'eta'?"),
    (CASES, ("{cases: {ddim: {type: scheduler.ddim, eta: 0}, ddpm: scheduler.ddpm}}",
             "{draw: {cases: {a: scheduler.ddpm, b: scheduler.dpm}}, n: 2}"), "3:49: no node type 'scheduler.dpm'"),
    (CASES, ("ddpm: scheduler.ddpm", "ddpm: {steps: 4}"), "the node 'ddpm' has no type"),
    (CASES, ("eta: 0}, ddpm", "eta: 0, store: never}, ddpm"), "3:64: 'sampler@ddim' (scheduler.ddim) is a loop, whose"),
    (CASES, ("ddpm: scheduler.ddpm", "ddpm: ./a.yaml"), "the case 'ddpm' can't be './a.yaml'"),
    (BASE, ("guidance: 1}", "guidence: 1}"), "8:43: the graph has no input 'guidence' to set"),
    (BASE, ("of: $image", "of: image"), "'of' takes a node"),
    (BASE, ("of: $image", "of: $real"), "nothing that 'real' is made from uses guidance"),
    (BASE, ("of: $image", "of: $plain"), "'plain' is made from itself"),
    (BASE, (", guidance: 1}", "}"), "'plain' sets no input"),
    (BASE, ("guidance: 1}", "guidance: 1, per: [seed]}"), "'per' has no meaning for 'type: at'"),
    (BASE, ("of: $image, guidance: 1}", "of: $fid, seed: 1}"), "8:37: 'fid' pools 'seed', so 'plain' can't set it\n"
     "  leave it out, or take the point of what 'fid' pools"),
    (BASE, ("guidance: 1}", "guidance: $text}"), "'guidance' is an input and can't take a node"),
    (SWITCHED, ("sampler: {", "two: {type: scheduler.ddim, start: $noise, prediction: $both, steps: 4}\n"
     "  both: {type: denoiser, x: $two.x, context: $context}\n  sampler: {"),
     "'context' lies in the loops of 'two' and 'sampler', which are not nested\n  write it once for each"),
    (SWITCH, ("second: 0", "second: 2"), "'index' is 0 to 1, not 2"),
    (SWITCH, ("[$text, $other]", "[$text, $noise]"), "values of one kind: '$text' is a Conditioning and '$noise'"),
    (SWITCH, ("from: [$text, $other], ", ""), "lists what to select from"),
    (SWITCH, ("[$text, $other]", "[$text, $context]"), "'context' selects from itself"),
    (SWITCH, ("index: $second", "index: $second, store: always"), "'select' has no results of its own to store"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "change", "expected"), WRONG, ids=[w[2] for w in WRONG])
def test_wrong(lab, text, change, expected):
    with pytest.raises(UserError) as caught:
        lab.load(text, change).check()
    assert expected in str(caught.value)
    assert "g.yaml:" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": torch.zeros(2, 4, 6, 6)}, r"'data' is \[4, 8, 8\] float32 and \[4, 6, 6\] float32"),
        ({"data": torch.zeros(2, 4, 8, 8).half()}, r"'data' is \[4, 8, 8\] float32 and \[4, 8, 8\] float16"),
        ({"space": "other"}, "'space' is 'space' and 'other'"),
        ({"alpha": torch.ones(2)}, "one has 'alpha', another doesn't"),
    ],
)
def test_what_can_not_take_the_place_of_another(change, said):
    noise = Noise(torch.zeros(2, 4, 8, 8), torch.zeros(2, 1, dtype=torch.uint8), "space")
    assert select([noise, noise.replace(stream=noise.stream + 1)], PerItem([0, 1])) is noise
    for pair in ([noise, noise.replace(**change)], [noise, noise, noise.replace(**change)]):
        with pytest.raises(WiringError, match=f"^the values to select from differ: {said}\n"):
            select(pair, PerItem([0, 1]))


NUMBERED = """\
flowgen: 1
sweep:
  v: {cases: {"1": {type: toy.number, value: 10}, "1.5": {type: toy.number, value: 15}, "true": {type: toy.number}}}
  r: {rows: {1: {by: 2}, 2: {by: 3}}}
nodes:
  n: {type: $v, value: 0}
  s: {type: toy.scale, x: $n, by: $by}
  a: {type: at, of: $s, v: 1.5, r: 2}
outputs: [s, a]
"""


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ({"set": {"v": 1.5}}, [15]),
        ({"sweep": {"v": [1.5, "1"]}}, [15, 10]),
        ({"where": {"v": 1}}, [10]),
        ({"set": {"v": True}}, [0]),
    ],
)
def test_names_that_read_as_numbers_are_found(tmp_path, given, values):
    (tmp_path / "g.yaml").write_text(NUMBERED)
    found = load(tmp_path / "g.yaml", **given).run(tmp_path / "store", tmp_path / "runs").results
    assert found.s.values[..., 0].tolist() == [[2 * value, 3 * value] for value in values]
    assert found.a.values[..., 0] == 45


def test_cases_that_are_chosen_are_chosen_once(tmp_path):
    (tmp_path / "g.yaml").write_text(NUMBERED)
    with pytest.raises(UserError, match="the axis 'v' holds '1' twice"):
        load(tmp_path / "g.yaml", sweep={"v": [1, "1"]})
