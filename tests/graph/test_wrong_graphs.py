"""Wrong graphs and the exact message of each: what is wrong, where, and a way out."""

import json
import shutil

import pytest
import torch

from flowgen.errors import UserError
from flowgen.experiment import load
from flowgen.node import node
from flowgen.values import Conditioning, Image

GOOD = """\
flowgen: 1
inputs: {strength: 1.0}
sweep:
  colour: [red, blue]
  guidance: [1, 4]
  seed: {range: 2}
defaults: {model: $digits}
nodes:
  digits: {type: model, from: ZOO/digits}
  other: {type: model, from: OTHER}
  eye: {type: model, from: ZOO/digits-classifier}
  text: {type: encoder.text, text: "a ${colour} three"}
  empty: {type: encoder.text, text: ""}
  noise: {type: noise, seed: $seed}
  sampler: {type: scheduler.ddim, start: $noise, prediction: $guided, steps: 5}
  cond: {type: denoiser, x: $sampler.x, context: $text}
  uncond: {type: denoiser, x: $sampler.x, context: $empty}
  guided: {type: guidance.cfg, cond: $cond, uncond: $uncond, scale: $guidance}
  image: {type: decoder.vae, latent: $sampler.sample}
  features: {type: features, model: $eye, image: $image}
  real: {type: reference, model: $eye, from: ZOO/digits-test}
  fid: {type: metric.fid, features: $features, reference: $real, over: [colour, seed]}
outputs: [image, fid]
"""

SECOND_LOOP = """
  s2: {type: scheduler.ddim, start: $noise, prediction: $p2, steps: 5}
  p2: {type: denoiser, x: $s2.x, context: $text}"""

WRONG = [
    (
        "a misspelt node type",
        ("type: guidance.cfg", "type: guidance.cgf"),
        "18:18: no node type 'guidance.cgf'\n  did you mean 'guidance.cfg'? ('flowgen nodes' lists them)",
    ),
    (
        "letters that changed places, beside another name that is as near",
        ("scheduler.ddim", "scheduler.ddmi"),
        "15:19: no node type 'scheduler.ddmi'\n  did you mean 'scheduler.ddim'? ('flowgen nodes' lists them)",
    ),
    (
        "a misspelt port",
        ("uncond: $uncond", "uncon: $uncond"),
        "18:52: 'guidance.cfg' has no port or parameter 'uncon'\n  did you mean 'uncond'?",
    ),
    (
        "a port by another name than its own",
        ("x: $sampler.x, context: $text", "x: $sampler.x, prompt: $text"),
        "16:49: 'denoiser' has no port or parameter 'prompt'\n  did you mean 'context'?",
    ),
    (
        "a node type without its kind",
        ("type: scheduler.ddim", "type: ddim"),
        "15:19: no node type 'ddim'\n  did you mean 'scheduler.ddim'? ('flowgen nodes' lists them)",
    ),
    (
        "a part of a node type's name",
        ("type: scheduler.ddim", "type: 2m"),
        "15:19: no node type '2m'\n"
        "  did you mean 'scheduler.dpm_2m' or 'scheduler.dpm_2m_sde'? ('flowgen nodes' lists them)",
    ),
    (
        "a kind of nodes as a type",
        ("type: scheduler.ddim", "type: scheduler"),
        "15:19: no node type 'scheduler'\n  'flowgen nodes scheduler' lists those of this kind",
    ),
    (
        "a graph that ships without its prefix",
        ("type: scheduler.ddim", "type: text_to_image"),
        "15:19: no node type 'text_to_image'\n  did you mean 'std:text_to_image'? ('flowgen nodes' lists them)",
    ),
    (
        "a node type that is like no other",
        ("type: scheduler.ddim", "type: quux"),
        "15:19: no node type 'quux'\n  'flowgen nodes' lists them",
    ),
    (
        "a misspelt input",
        ("scale: $guidance", "scale: $guidence"),
        "18:69: '$guidence' refers to nothing\n  did you mean 'guidance'?",
    ),
    (
        "a misspelt output of a node",
        ("$sampler.sample", "$sampler.smaple"),
        "19:38: 'sampler' (scheduler.ddim) has no output 'smaple'\n  did you mean 'sample'?",
    ),
    (
        "a cycle without a loop node",
        ("cond: $cond, uncond: $uncond", "cond: $guided, uncond: $uncond"),
        "18:3: the cycle guided → guided passes through no feedback port\n"
        "  a cycle is closed by a loop node: the port 'prediction' of a scheduler, for example",
    ),
    (
        "feedback that closes no cycle",
        ("prediction: $guided, steps: 5}", "prediction: $p2, steps: 5}" + SECOND_LOOP),
        "15:62: 'prediction' of 'sampler' closes no cycle: 'p2' doesn't depend on $sampler.x\n"
        "  wire $sampler.x into the nodes that lead to 'p2'",
    ),
    (
        "a per-step output used outside its loop",
        ("outputs: [", "  late: {type: denoiser, x: $sampler.x, context: $text}\noutputs: [late, "),
        "23:29: '$sampler.x' changes with every step of 'sampler', and nothing leads from 'late' back to 'prediction' "
        "of 'sampler', which takes '$guided'\n  wire 'late' into what leads to '$guided', or leave it out",
    ),
    (
        "guidance that is wired past",
        ("prediction: $guided, steps: 5", "prediction: $cond, steps: 5"),
        "17:31: '$sampler.x' changes with every step of 'sampler', and nothing leads from 'uncond' back to "
        "'prediction' of 'sampler', which takes '$cond'\n"
        "  'guided' depends on both: write prediction: $guided in 'sampler'",
    ),
    (
        "the state of a step measured outside its loop",
        ("outputs: [image", "  gap: {type: score.distance, value: $sampler.x, reference: $noise}\noutputs: [gap"),
        "23:38: '$sampler.x' changes with every step of 'sampler', and 'gap' is not in that loop\n"
        "  take the loop's result, $sampler.sample",
    ),
    (
        "a prediction used outside its loop",
        ("outputs: [image, fid]", "outputs: [guided]"),
        "23:11: 'guided' changes from step to step and can't be an output\n  take the loop's result, $sampler.sample",
    ),
    (
        "a noisy latent to the decoder",
        ("$sampler.sample", "$sampler.x"),
        "19:38: 'latent' takes a Latent, '$sampler.x' is a Noisy\n  did you mean $sampler.sample?",
    ),
    (
        "a latent of another space to the decoder",
        ("{type: decoder.vae, ", "{type: decoder.vae, model: $other, "),
        "19:53: the latent's space (4 channels, 1/4 size, scale 1, shift 0) is not the one that the decoder of 'OTHER' "
        "reads (4 channels, 1/4 size, scale 0.5, shift 0)\n  decode with the VAE of the model that made the latent",
    ),
    (
        "an epsilon model on a v-prediction setting",
        ("steps: 5", "steps: 5, prediction_type: v_prediction"),
        "15:98: the denoiser predicts 'epsilon', the scheduler expects 'v_prediction'\n"
        "  leave prediction_type out to take the model's own",
    ),
    (
        "'over' an axis that the input lacks",
        ("over: [colour, seed]", "over: [colour, step]"),
        "22:72: 'over' names no axis 'step'\n  known: colour, guidance, seed",
    ),
    (
        "'over' on a node that pools nothing",
        ("latent: $sampler.sample", "latent: $sampler.sample, over: [seed]"),
        "19:61: 'decoder.vae' pools nothing, so it takes no 'over'",
    ),
    (
        "a reduction without 'over'",
        (", over: [colour, seed]", ""),
        "22:3: 'fid' (metric.fid) pools items: say over which axes\n  over: [seed]",
    ),
    (
        "a missing model folder",
        ("from: ZOO/digits}", "from: nowhere}"),
        "9:31: there is no file or folder 'nowhere'\n  looked at FOLDER/nowhere; a model of the Hub is called org/name",
    ),
    (
        "an unknown model of the zoo",
        ("from: ZOO/digits}", 'from: "zoo:digit"}'),
        "9:31: there is no 'zoo:digit'\n  did you mean 'zoo:digits'?",
    ),
    (
        "a duplicate key",
        ("  empty: {", "  text: {"),
        "13:3: duplicate key 'text'\n  it stands first at line 12",
    ),
    (
        "a number where a text is due",
        ('text: "a ${colour} three"', "text: 3"),
        "12:36: 'text' should be a text, not 3",
    ),
    (
        "a text where a number is due",
        ("steps: 5", "steps: five"),
        "15:78: 'steps' should be a whole number, not 'five'",
    ),
    (
        "no steps at all",
        ("steps: 5", "steps: 0"),
        "15:78: steps must be 1 to 1000, not 0\n  the model was trained with 1000 steps: take that many or fewer",
    ),
    (
        "a swept text where a number is due",
        ("seed: {range: 2}", "seed: [one, two]"),
        "14:30: 'seed' should be a whole number, not 'one'\n  its value comes from the axis 'seed' at 6:3",
    ),
    (
        "a swept value that the node's code refuses",
        ("steps: 5", "steps: $seed"),
        "15:78: steps must be 1 to 1000, not 0\n  the model was trained with 1000 steps: take that many or fewer\n"
        "  its value comes from the axis 'seed' at 6:3",
    ),
    (
        "a node in a parameter",
        ("seed: $seed", "seed: $text"),
        "14:30: 'seed' is a parameter and can't take the node '$text'\n"
        "  parameters take literals and inputs, known before anything runs; ports take nodes",
    ),
    (
        "an input in a port",
        ("context: $text", "context: $strength"),
        "16:50: 'context' is a port and can't take the input '$strength'\n"
        "  a port takes the output of a node, $NAME; parameters take literals and inputs",
    ),
    (
        "a node in a port without its dollar",
        ("latent: $sampler.sample", "latent: sampler.sample"),
        "19:38: 'latent' is a port and can't take 'sampler.sample'\n  write $sampler.sample",
    ),
    (
        "an axis in a parameter without its dollar",
        ("scale: $guidance", "scale: guidance"),
        "18:69: 'scale' should be a number, not 'guidance'\n  write $guidance",
    ),
    (
        "an axis to pool that nothing uses",
        ("seed: $seed", "seed: 1"),
        "22:72: nothing in the graph uses the axis 'seed', so that 'over' pools nothing\n"
        "  take one of its inputs up in a node that leads to 'features', as $seed",
    ),
    (
        "a port left open",
        ("latent: $sampler.sample}", "}"),
        "19:3: the port 'latent' of 'image' (decoder.vae) is not wired\n  it takes a Latent: write latent: $NODE",
    ),
    (
        "a parameter left out",
        ("{type: noise, seed: $seed}", "{type: noise}"),
        "14:3: the parameter 'seed' of 'noise' (noise) is missing\n  it takes a whole number",
    ),
    (
        "a model without the part that is needed",
        ("{type: features, model: $eye", "{type: features, model: $digits"),
        "20:37: the model 'ZOO/digits' has no part 'features'\n  'features' needs a model with "
        "features; known: family, latent, scheduler, text_encoder, tokenizer, unet, vae",
    ),
    (
        "'per' without such an axis",
        ("seed: $seed}", "seed: $seed, per: [color]}"),
        "14:42: 'per' names no axis 'color'\n  did you mean 'colour'?",
    ),
    (
        "a per-step value outside a loop",
        ("seed: $seed", "seed: $seed, width: {during: [0, 0.5], value: 32, else: 64}"),
        "14:44: 'width' depends on the step, but 'noise' is in no loop",
    ),
    (
        "a per-step value of the loop itself",
        ("steps: 5}", "steps: 5, eta: {during: [0.5, 1], value: 0.5, else: 1.0}}"),
        "15:86: 'eta' of 'sampler' holds for the whole loop\n"
        "  a number that depends on the step belongs to a node that the loop runs in each step, as a guidance",
    ),
    (
        "a stretch of a loop in percent",
        ("scale: $guidance", "scale: {during: [30, 80], value: 4, else: 1}"),
        "18:69: 'during' of 'scale' takes fractions of the loop's steps in order, not [30, 80]\n"
        "  from 0, the first step, to 1, the end",
    ),
    (
        "a stretch of a loop that ends nowhere",
        ("scale: $guidance", f"scale: {{during: [0, {'9' * 401}], value: 4, else: 1}}"),
        "18:82: a whole number has at most 300 digits\n  in quotes it is a text",
    ),
    (
        "a number that is none",
        ("scale: $guidance", "scale: .nan"),
        "18:69: 'scale' should be a finite number, not nan",
    ),
    (
        "a seed that draws what another one draws",
        ("seed: $seed", "seed: 4294967303"),
        "14:30: 'seed' should be less than 2^32 = 4294967296, not 4294967303\n"
        "  torch's CPU generator reads the lower 32 bits of a seed alone: this one draws what 7 draws",
    ),
    (
        "a seed that no generator takes",
        ("seed: $seed", "seed: -9223372036854775809"),
        "14:30: 'seed' should be greater than or equal to -9223372036854775808, not -9223372036854775809",
    ),
    (
        "one number written in two ways",
        ("guidance: [1, 4]", "guidance: [1, 1.0]"),
        "5:3: the axis 'guidance' holds 1.0 twice",
    ),
    (
        "an axis that nothing uses",
        ("  seed: {range: 2}", "  seed: {range: 2}\n  sed: {range: 9}"),
        "7:3: nothing in the graph uses the axis 'sed'\n"
        "  take one of its inputs up in a node, as $sed, or leave the axis out",
    ),
    (
        "rows that nothing uses",
        ("  seed: {range: 2}", "  seed: {range: 2}\n  size: {rows: {big: {w: 2, h: 2}, small: {w: 1, h: 1}}}"),
        "7:3: nothing in the graph uses the axis 'size', which sets w, h\n"
        "  take one of its inputs up in a node, as $w, or leave the axis out",
    ),
    (
        "no outputs",
        ("outputs: [image, fid]", "outputs: []"),
        "23:10: 'outputs' names no results\n  outputs: [NODE], whose results are wanted",
    ),
    (
        "a name with other letters",
        ("context: $text", "context: $größe"),
        "16:50: '$größe' is not a reference\n"
        "  names have the letters a to z and A to Z, digits and _, no digit first; $$ stands for a dollar",
    ),
    (
        "an address for a model",
        ("from: ZOO/digits}", "from: 'https://host/model'}"),
        "9:31: 'https://host/model' is an address, and flowgen reads files\n  download it and give its path",
    ),
    (
        "a parameter of the model given to the decoder",
        ("latent: $sampler.sample", "latent: $sampler.sample, tile: 64"),
        "19:61: 'decoder.vae' has no port or parameter 'tile'\n"
        "  'digits' (model), on which 'image' depends, takes it: write it there",
    ),
    (
        "a parameter of the noise given to the denoiser",
        ("context: $text}", "context: $text, width: 32}"),
        "16:64: 'denoiser' has no port or parameter 'width'\n"
        "  'noise' (noise), on which 'cond' depends, takes it: write it there",
    ),
    (
        "tiles of a size that the model can't have",
        ("from: ZOO/digits}", "from: ZOO/digits, tile: 30}"),
        "9:49: tile must be a multiple of 16 pixels, not 30\n"
        "  the nearest is 32; 'model' is what the autoencoder takes for itself",
    ),
    (
        "a width that the model can't have",
        ("seed: $seed", "seed: $seed, width: 30"),
        "14:44: width must be a multiple of 4 pixels, not 30\n  as 32",
    ),
    (
        "frames of a picture",
        ("seed: $seed", "seed: $seed, frames: 9"),
        "14:45: this model makes pictures\n  'frames' is for video models",
    ),
    (
        "a default that the model can't have",
        ("{model: $digits}", "{model: $digits, height: 6}"),
        "7:36: height must be a multiple of 4 pixels, not 6\n  as 8\n  it is a default, which 'noise' takes",
    ),
    (
        "seconds for a model of pictures",
        ('text: "a ${colour} three"', 'text: "a ${colour} three", seconds: 3'),
        "12:66: 'ZOO/digits' isn't told seconds\n  leave 'seconds' out",
    ),
    (
        "a strength that is none",
        ("steps: 5", "steps: 5, strength: 1.5"),
        "15:91: strength must be above 0 and at most 1, not 1.5\n"
        "  the part of the steps that is taken: 0.3 changes init a little, 1 begins with noise alone",
    ),
    (
        "fresh noise less than none",
        ("steps: 5", "steps: 5, eta: -1"),
        "15:86: eta must be 0 to 1, not -1.0\n"
        "  the share of the noise that a step draws anew: 0 is deterministic, 1 draws all that can be",
    ),
    (
        "more fresh noise than there is, at the last point of an axis",
        ("steps: 5", "steps: 5, eta: $guidance"),
        "15:86: eta must be 0 to 1, not 4.0\n"
        "  the share of the noise that a step draws anew: 0 is deterministic, 1 draws all that can be\n"
        "  its value comes from the axis 'guidance' at 5:3",
    ),
    (
        "a strength that leaves no step",
        ("steps: 5", "steps: 5, strength: 0.1"),
        "15:91: strength 0.1 leaves none of 5 steps to take\n  at least 1/5, or more steps",
    ),
    (
        "a strength without a picture",
        ("steps: 5", "steps: 5, strength: 0.5"),
        "15:91: strength says where to begin with 'init', and none is wired\n"
        "  wire init: $NODE, a latent from encoder.vae or another sampler, or leave 'strength' out",
    ),
    (
        "more layers left out than there are",
        ('text: "a ${colour} three"', 'text: "a ${colour} three", clip_skip: 9'),
        "12:68: 'clip_skip' leaves out more than the encoder's 2 layers\n  2 at most: the model itself leaves out 0",
    ),
    (
        "a sheet of one axis",
        ("outputs: [image, fid]", "outputs: {a: {from: $image, grid: [seed]}}"),
        "23:35: 'grid' takes two axes, rows and columns\n"
        "  add the other: grid: [seed, AXIS]; what has one axis alone gets its sheet without 'grid'",
    ),
    (
        "an axis without its colon",
        ("seed: {range: 2}", "seed: {range 2}"),
        "6:3: the axis 'seed' can't be made from 'range 2'\n  a colon and a space are missing: {range: 2}",
    ),
    (
        "a loop that isn't stored",
        ("steps: 5", "steps: 5, store: never"),
        "15:88: 'sampler' (scheduler.ddim) is a loop, whose results are always stored\n"
        "  they are what is costly: leave 'store' out; 'flowgen cache collect' lets stored results go",
    ),
    (
        "a reduction that isn't stored",
        ("over: [colour, seed]", "over: [colour, seed], store: never"),
        "22:95: 'fid' (metric.fid) is a reduction, whose results are always stored\n"
        "  they are what is costly: leave 'store' out; 'flowgen cache collect' lets stored results go",
    ),
    (
        "files that lack an axis",
        ("outputs: [image, fid]", 'outputs: {a: {from: $image, save: "{colour}.png"}}'),
        "23:35: 'a' varies along 'guidance', which is missing in 'save'\n"
        "  add {guidance}, as in {colour}_{guidance}_{seed}.png",
    ),
]


def test_an_input_that_nothing_uses_is_a_warning(tmp_path, zoo_folder, other):
    file = written(tmp_path, GOOD, zoo_folder, other)
    assert load(file).check().warnings[0] == f"{file}:2:20: nothing in the graph uses the input 'strength'"
    file.write_text(GOOD.replace("scale: $guidance", "scale: $strength"))
    with pytest.raises(UserError, match="nothing in the graph uses the axis 'guidance'"):
        load(file).check()


def test_one_item_that_no_memory_holds(tmp_path, zoo_folder, other):
    text = GOOD.replace("seed: $seed", "seed: $seed, width: 10000000, height: 10000000")
    with pytest.raises(UserError, match=r"g.yaml:14:3: one item of 'noise' takes .* of memory, and this machine has"):
        load(written(tmp_path, text, zoo_folder, other)).check()


@pytest.fixture(scope="module")
def other(zoo_folder, tmp_path_factory):
    """The same pipeline with another latent scale."""
    folder = tmp_path_factory.mktemp("other") / "scaled"
    shutil.copytree(zoo_folder / "digits", folder)
    config = json.loads((folder / "vae" / "config.json").read_text())
    (folder / "vae" / "config.json").write_text(json.dumps({**config, "scaling_factor": 0.5}))
    return folder


def written(tmp_path, text, zoo_folder, other):
    (tmp_path / "ZOO").symlink_to(zoo_folder)
    (tmp_path / "OTHER").symlink_to(other)
    file = tmp_path / "g.yaml"
    file.write_text(text)
    return file


def test_the_good_graph_is_good(tmp_path, zoo_folder, other):
    load(written(tmp_path, GOOD, zoo_folder, other)).check()


@pytest.mark.parametrize(("change", "expected"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_wrong(tmp_path, zoo_folder, other, change, expected):
    assert change[0] in GOOD
    file = written(tmp_path, GOOD.replace(*change), zoo_folder, other)
    with pytest.raises(UserError) as caught:
        load(file).check()
    said = str(caught.value).replace(str(tmp_path), "FOLDER").replace("FOLDER/g.yaml:", "")
    assert said == expected


def test_a_parameter_of_other_samplers_is_found(tmp_path, zoo_folder, other):
    file = written(tmp_path, GOOD.replace("steps: 5", "steps: 5, sigmas: karras"), zoo_folder, other)
    with pytest.raises(
        UserError, match=r"g.yaml:15:89: .* 'sigmas'\n  known: .*; 'sigmas' is taken by .*scheduler.heun"
    ):
        load(file).check()


def test_a_folder_without_a_part(tmp_path, zoo_folder, other):
    shutil.copytree(zoo_folder / "digits", tmp_path / "part")
    shutil.rmtree(tmp_path / "part" / "vae")
    file = written(tmp_path, GOOD.replace("from: ZOO/digits}", "from: part}"), zoo_folder, other)
    with pytest.raises(UserError) as caught:
        load(file).check()
    assert str(caught.value) == (
        f"{file}:9:31: the model 'part' lacks the part 'vae', which its model_index.json names\n"
        "  of the parts in model_index.json there are scheduler, text_encoder, tokenizer, unet; there aren't vae; "
        f"copy the folder from where the model is from to {tmp_path / 'part'}"
    )


def test_truncated_weights(tmp_path, zoo_folder, other):
    folder = tmp_path / "cut"
    shutil.copytree(zoo_folder / "digits", folder)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    size = weights.stat().st_size
    weights.write_bytes(weights.read_bytes()[:-100])
    file = written(tmp_path, GOOD.replace("from: ZOO/digits}", "from: cut}"), zoo_folder, other)
    with pytest.raises(UserError) as caught:
        load(file).check()
    assert str(caught.value) == (
        f"{file}:9:31: {weights} is damaged: {size - 100} bytes, {size} expected\n  download or copy it again"
    )


def test_a_small_number_is_a_number(tmp_path, zoo_folder, other):
    file = written(tmp_path, GOOD.replace("guidance: [1, 4]", "guidance: [1e-4, no]"), zoo_folder, other)
    with pytest.raises(UserError) as caught:
        load(file).check()
    said = str(caught.value).replace(f"{file}:", "")
    assert said == "18:69: 'scale' should be a number, not 'no'\n  its value comes from the axis 'guidance' at 5:3"
    file.write_text(file.read_text().replace("[1e-4, no]", "[1e-4, 4]"))
    assert load(file).graph.nodes["guided"].params["scale"].values.tolist() == [1e-4, 4.0]


@node("test.describe")
def describe(image: Image) -> Conditioning:
    """A condition made from a picture."""
    return Conditioning(torch.zeros(len(image), 16, 64))


def test_a_body_that_waits_for_its_own_loop(tmp_path, zoo_folder, other):
    told = "context: $told}\n  told: {type: test.describe, image: $image}"
    file = written(tmp_path, GOOD.replace("context: $text}", told), zoo_folder, other)
    with pytest.raises(UserError) as caught:
        load(file).check()
    assert str(caught.value) == (
        f"{file}:15:3: the body of 'sampler' needs the loop's own result: sampler → image → told → sampler"
    )
