"""Graphs used as nodes: the same items as written out flat, arguments checked, errors in the file that is wrong."""

import pytest
from small import Lab

from flowgen.errors import UserError
from flowgen.experiment import load

PART = """\
flowgen: 1
inputs:
  model: {type: Model}
  start: {type: Noise}
  scale: {type: number, default: 4}
  words: {type: text}
defaults: {model: $model}
sweep: {steps: [4, 9]}
nodes:
  text: {type: encoder.text, text: $words}
  empty: {type: encoder.text, text: ""}
  sampler: {type: scheduler.ddim, start: $start, prediction: $guided, steps: $steps}
  cond: {type: denoiser, x: $sampler.x, context: $text}
  uncond: {type: denoiser, x: $sampler.x, context: $empty}
  guided: {type: guidance.cfg, cond: $cond, uncond: $uncond, scale: $scale}
outputs: [sampler, text]
"""
USE = """\
flowgen: 1
sweep:
  prompt: [a red three, a blue seven on a yellow background]
  guidance: [1, 4]
  seed: {range: 3}
defaults: {model: $digits}
nodes:
  digits: {type: model, from: ZOO/digits}
  noise: {type: noise, seed: $seed, per: [prompt]}
  gen: {type: ./part.yaml, start: $noise, scale: $guidance, words: $prompt}
  image: {type: decoder.vae, latent: $gen}
outputs: [image, gen.text]
"""
STD = """\
flowgen: 1
sweep:
  prompt: [a red three, a blue seven on a yellow background]
  guidance: [1, 4]
  seed: {range: 3}
nodes:
  digits: {type: model, from: ZOO/digits}
  judge: {type: model, from: ZOO/digits-clip}
  eye: {type: model, from: ZOO/digits-classifier}
  made: {type: "std:text_to_image", model: $digits, prompt: $prompt, guidance: $guidance, seed: $seed, steps: 4,
         anew: [prompt]}
  good: {type: "std:evaluate", image: $made, prompt: $prompt, judge: $judge, eye: $eye, axes: [prompt, seed],
         reference: ZOO/digits-test}
outputs: [made, good.clip, good]
"""


@pytest.fixture
def lab(tmp_path, zoo_folder):
    found = Lab(tmp_path, zoo_folder)
    (tmp_path / "part.yaml").write_text(PART)
    return found


def keys(plan, name):
    return plan.keys[name].values.tolist()


def test_a_graph_as_a_node_is_the_same_as_written_out(lab):
    flat, used = lab.plan(), lab.plan(USE)
    assert keys(used, "image") == keys(flat, "image")
    assert keys(used, "gen/text") == keys(flat, "text")
    assert used.graph.nodes["gen/sampler"].axes == ("prompt", "guidance", "seed")
    assert used.graph.bodies["gen/sampler"] == ("gen/cond", "gen/uncond", "gen/guided")


def test_the_graphs_that_ship(lab):
    flat, used = lab.plan(), lab.plan(STD)
    assert keys(used, "made/image") == keys(flat, "image")
    assert keys(used, "good/clip") == keys(flat, "clip")
    assert keys(used, "good/fid") == keys(flat, "fid")


def test_a_graph_in_a_graph_and_results_under_the_names_of_the_outputs(lab):
    outer = PART.replace("outputs: [sampler, text]", "outputs: [inner]").replace(
        "nodes:\n", "nodes:\n  inner: {type: part.yaml, start: $start, words: $words, scale: $scale, steps: 4}\n"
    )
    (lab.folder / "outer.yaml").write_text(outer)
    text = USE.replace("./part.yaml", "outer.yaml").replace("[image, gen.text]", "[image, gen]")
    assert keys(lab.plan(text), "image") == keys(lab.plan(), "image")
    run = lab.run(text.replace("guidance: [1, 4]", "guidance: [1]"), seed=0)
    assert set(run.results) == {"image", "gen"}
    assert run.plan.nodes["gen/inner/sampler"].compute == 2
    assert "# ---- uses" in (run.folder / "graph.yaml").read_text()


def test_a_swept_input_of_the_part_takes_its_first_value_and_can_be_given(lab):
    assert lab.load(USE).graph.nodes["gen/sampler"].params["steps"].values.item() == 4
    more = lab.load(USE, ("words: $prompt", "words: $prompt, steps: 7"))
    assert more.graph.nodes["gen/sampler"].params["steps"].values.item() == 7


def test_defaults_stay_in_their_file(lab):
    text = USE.replace("defaults: {model: $digits}", "defaults: {model: $digits, eta: 1}")
    graph = lab.load(
        text,
        (
            "image: {",
            "own: {type: scheduler.ddim, start: $noise, prediction: $p}\n"
            "  p: {type: denoiser, x: $own.x, context: $gen.text}\n  image: {",
        ),
    ).graph
    assert graph.nodes["own"].params["eta"].values.item() == 1
    assert graph.nodes["gen/sampler"].params["eta"].values.item() == 0


def test_a_case_reads_a_graph(lab):
    cases = "{cases: {main: {type: decoder.vae, latent: $gen}, named: {type: decoder.vae, latent: $gen.sampler}}}"
    text = USE.replace("type: decoder.vae, latent: $gen", "type: $reader")
    found = keys(lab.plan(text.replace("sweep:\n", f"sweep:\n  reader: {cases}\n")), "image")
    assert found == [keys(lab.plan(USE), "image")] * 2


WORDS = """\
flowgen: 1
inputs: {model: {type: Model}, seed: {type: integer}, eye: {type: Model}, words: {type: text}, pooled: {type: axes}}
defaults: {model: $model}
sweep:
  drawing: {cases: {anew: {type: noise, per: $pooled}, same: noise}}
  solver: {cases: {ddim: {type: scheduler.ddim, trajectory: {at: [0.5, 1]}, checkpoint: {at: [0.5]}}}}
  pool: {cases: {fid: {type: metric.fid, over: $pooled, missing: skip}}}
  reader: {cases: {text: {type: encoder.text, store: never}}}
nodes:
  text: {type: $reader, text: $words}
  noise: {type: $drawing, seed: $seed}
  sampler: {type: $solver, start: $noise, prediction: $cond, steps: 4}
  cond: {type: denoiser, x: $sampler.x, context: $text}
  features: {type: features, model: $eye, image: $image}
  image: {type: decoder.vae, latent: $sampler}
  fid: {type: $pool, features: $features, reference: $real}
  real: {type: reference, model: $eye, from: ZOO/digits-test}
outputs: {noise: $noise, way: $sampler.trajectory, fid: $fid}
"""
WITH_WORDS = """\
flowgen: 1
sweep: {prompt: [a red three, a blue seven on a yellow background], seed: {range: 3}}
nodes:
  digits: {type: model, from: ZOO/digits}
  eye: {type: model, from: ZOO/digits-classifier}
  gen: {type: ./part.yaml, model: $digits, eye: $eye, seed: $seed, words: $prompt, pooled: [prompt]}
outputs: [gen.noise, gen.way, gen.fid]
"""


def test_a_case_of_the_part_has_all_its_words(lab):
    (lab.folder / "part.yaml").write_text(WORDS)
    graph = lab.load(WITH_WORDS).graph
    assert graph.nodes["gen/noise"].axes == ("prompt", "seed")
    assert graph.nodes["gen/fid"].axes == ("seed",)
    assert graph.nodes["gen/fid"].entry.missing == "skip"
    assert graph.nodes["gen/text"].entry.store == "never"
    assert graph.nodes["gen/sampler"].entry.checkpoint.values == (0.5,)
    assert graph.nodes["gen/sampler.trajectory"].axes == ("prompt", "seed", "step")
    with pytest.raises(UserError, match=r"g.yaml:6:111: 'drawing' has no case \['same'\]\n  did you mean"):
        lab.load(WITH_WORDS, ("pooled: [prompt]", "pooled: [prompt], drawing: [same]")).check()
    same = lab.load(WITH_WORDS, ("pooled: [prompt]", "pooled: [prompt], drawing: same")).graph
    assert same.nodes["gen/noise"].axes == ("seed",)


@pytest.mark.parametrize(("own", "inside"), [("", "bfloat16"), (", dtype: float16", "float16")])
def test_a_precision_from_outside_holds_inside_and_yields_to_what_is_said_there(lab, own, inside):
    part = PART.replace("  model: {type: Model}\n", "").replace("{model: $model}", f"{{model: $own{own}}}")
    (lab.folder / "part.yaml").write_text(part.replace("nodes:\n", "nodes:\n  own: {type: model, from: ZOO/digits}\n"))
    lab.load(USE)
    nodes = load(lab.folder / "g.yaml", dtype="bfloat16").graph.nodes
    assert [nodes[name].params["dtype"].values.item() for name in ("digits", "gen/own")] == ["bfloat16", inside]


WRONG = [
    ("scale: $guidance", "scal: 2", "g.yaml:10:49: './part.yaml' has no input 'scal'\n  did you mean 'scale'?"),
    ("start: $noise, ", "", "g.yaml:10:3: the input 'start' of 'gen' (./part.yaml) is missing\n  write start: $NODE"),
    (", words: $prompt", "", "g.yaml:10:3: the input 'words' of 'gen' (./part.yaml) is missing\n  it takes a text"),
    ("words: $prompt", "words: 3", "g.yaml:10:68: the input 'words' of './part.yaml' is a text, not 3"),
    ("words: $prompt", "words: $noise",
     "g.yaml:10:68: the input 'words' of './part.yaml' can't take the node '$noise'\n"
     "  an input that a node feeds is declared by its value: {type: Latent}"),
    ("start: $noise", "start: $seed", "g.yaml:10:35: the input 'start' of './part.yaml' takes a Noise and can't take "
     "the input '$seed'\n  write start: $NODE"),
    ("start: $noise", "start: $digits", "g.yaml:10:35: 'start' takes a Noise, '$digits' is a Model"),
    ("gen.text]", "gen.txt]", "g.yaml:12:18: 'gen' (./part.yaml) has no output 'txt'\n  did you mean 'text'?"),
    ("./part.yaml", "./prt.yaml", "g.yaml:10:15: there is no file or folder './prt.yaml'\n  looked at FOLDER/prt.yaml"),
    ("./part.yaml", '"std:text_to_imag"', "g.yaml:10:15: there is no 'std:text_to_imag'\n"
     "  did you mean 'std:text_to_image'? (known: std:evaluate, std:image_to_image, std:inpainting, "
     "std:text_to_image)"),
    ("./part.yaml", "./g.yaml", "g.yaml:10:15: graphs use each other in a circle: g.yaml → g.yaml"),
    ("words: $prompt", "words: $prompt, over: [seed]", "g.yaml:10:83: 'over' belongs to single nodes, not to a graph"),
    ("scale: $guidance", "scale: $prompt", "g.yaml:10:50: 'scale' should be a number, not 'a red three'\n"
     "  its value comes from the axis 'prompt' at g.yaml:3:3"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), WRONG, ids=[w[1] or w[0] for w in WRONG])
def test_wrong_use(lab, old, new, expected):
    assert old in USE
    with pytest.raises(UserError) as caught:
        lab.load(USE.replace(old, new)).check()
    assert str(caught.value).replace(f"{lab.folder}/", "").replace(str(lab.folder), "FOLDER").replace(
        "looked at ", "looked at FOLDER/") == expected  # fmt: skip


def test_arguments_of_nodes_are_set_through_inputs(lab):
    lab.load(USE)
    for name in ("gen/steps", "gen.steps", "gen/sampler.steps"):
        with pytest.raises(UserError) as caught:
            load(lab.folder / "g.yaml", set={name: 10})
        assert str(caught.value) == (
            f"--set sets inputs, and '{name}' is an argument of the node 'gen'\n"
            "  declare one, inputs: {steps: VALUE}, and give it to the node, steps: $steps"
        )


def test_an_argument_that_is_no_input_is_told_how_to_become_one(lab):
    lab.load(USE)
    with pytest.raises(UserError) as caught:
        load(lab.folder / "g.yaml", set={"words": "a"})
    assert str(caught.value) == (
        "the graph has no input 'words' to set\n"
        "  'gen' has an argument of that name: declare one, inputs: {words: VALUE}, "
        "and give it to the node, words: $words"
    )


INSIDE = [
    ("$empty}", "$empti}", "part.yaml:14:52: '$empti' refers to nothing\n  did you mean 'empty'?"),
    ("type: guidance.cfg", "type: guidance.cgf", "part.yaml:15:18: no node type 'guidance.cgf'"),
    ("start: {type: Noise}", "start: {type: Nois}", "part.yaml:4:10: the input 'start' can't be of type 'Nois'\n"
     "  did you mean 'Noisy'?"),
    ("start: {type: Noise}", "start: {type: Noise, default: 1}", "part.yaml:4:24: the input 'start' is fed by a node"),
    ("start: {type: Noise}", "start: {type: noise}", "the types are number, integer, text, boolean, axes; an input"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), INSIDE, ids=[w[1] for w in INSIDE])
def test_what_is_wrong_inside_is_told_there(lab, old, new, expected):
    assert old in PART
    (lab.folder / "part.yaml").write_text(PART.replace(old, new))
    with pytest.raises(UserError) as caught:
        lab.load(USE).check()
    assert expected in str(caught.value)
    assert "part.yaml:" in str(caught.value)


def test_a_part_alone_has_no_nodes_to_feed_it(lab):
    with pytest.raises(UserError, match=r"part.yaml:3:10: the input 'model' \(Model\) is fed by a node"):
        load(lab.folder / "part.yaml")


def test_two_graphs_that_use_each_other(lab):
    (lab.folder / "b.yaml").write_text(PART.replace("  text: {", "  again: {type: ./part.yaml}\n  text: {"))
    (lab.folder / "part.yaml").write_text(PART.replace("  text: {", "  again: {type: ./b.yaml}\n  text: {"))
    with pytest.raises(UserError, match=r"in a circle: part\.yaml → b\.yaml → part\.yaml"):
        lab.load(USE).check()


def test_a_long_chain_of_graphs_ends_in_a_message(lab):
    for n in range(12):
        inner = f"  again: {{type: ./c{n + 1}.yaml, model: $model, start: $start, words: $words}}\n  text: {{"
        (lab.folder / f"c{n}.yaml").write_text(PART.replace("  text: {", inner))
    with pytest.raises(UserError, match="graphs within graphs, deeper than 8"):
        lab.load(USE, ("./part.yaml", "./c0.yaml")).check()
