"""ControlNets in graphs: what is refused when a graph is checked, what keys hold, items of one batch."""

import re
from pathlib import Path

import diffusers
import pytest
import tiny_models
import torch
from flowgen_nodes.denoisers.control import check
from flowgen_nodes.models.folder import read_model
from PIL import Image as Pillow
from small import Lab, close, computed
from tiny_models.controls import drawn, unet_control
from torch._subclasses.fake_tensor import FakeTensorMode

from flowgen.errors import UserError, WiringError
from flowgen.graph.parts import AbstractParts
from flowgen.values import Control
from flowgen.values.model import opening

GRAPH = """\
flowgen: 1
sweep: {scale: [0, 0.5, 1], seed: {range: 2}}
defaults: {model: $m}
nodes:
  m: {type: model, from: ZOO/tiny-sd1}
  net: {type: model, from: ZOO/net}
  photo: {type: image.load, file: ZOO/photo.png, width: 32, height: 32}
  led: {type: control, model: $net, image: $photo, scale: $scale}
  text: {type: encoder.text, text: a red cat}
  noise: {type: noise, seed: $seed}
  sampler: {type: scheduler.ddim, start: $noise, prediction: $cond, steps: 3}
  cond: {type: denoiser, x: $sampler.x, context: $text, control: [$led]}
outputs: [sampler]
"""
Z = ("  text:", "  z: {type: encoder.vae, image: $photo}\n  text:")
PLAIN = ((", control: [$led]", ""), ("scale: [0, 0.5, 1], ", ""), ("scale: $scale", "scale: 1"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    for family in ("sd1", "sdxl", "pixart"):
        tiny_models.folder(family, folder)
    torch.manual_seed(1)
    unet_control(tiny_models.build("sd1").unet).save_pretrained(folder / "net")
    unet_control(tiny_models.build("sdxl").unet).save_pretrained(folder / "net-sdxl")
    tiny_models.build("flux-control-union").controlnet.save_pretrained(folder / "net-flux")
    Pillow.radial_gradient("L").convert("RGB").save(folder / "photo.png")
    return folder


@pytest.fixture
def lab(tmp_path, folders):
    return Lab(tmp_path, folders)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([("model: $net, ", "")], "the model 'ZOO/tiny-sd1' has no part 'controlnet'"),
        ([("ZOO/tiny-sd1", "ZOO/net")], "'ZOO/net' is a ControlNet, which leads the denoiser of another.*\n.*wire it"),
        ([("ZOO/net", "ZOO/net-sdxl")], "net-sdxl' isn't for 'ZOO/tiny-sd1': its cross_attention_dim is 64, not 32"),
        ([("ZOO/tiny-sd1", "ZOO/tiny-pixart")], "of ControlNets, the denoiser of 'ZOO/tiny-pixart' takes none"),
        ([("width: 32, height: 32", "width: 32, height: 48")], "32 x 48 pixels, 32 x 32 are sampled"),
        ([("image.load", "mask.load")], "has 1 channels, 'ZOO/net' takes 3"),
        ([("scale: $scale}", "scale: $scale, start: 0.5, end: 0.5}")], ":8:74: .*in order in 0 to 1, not 0.5 to 0.5"),
        ([("image: $photo, ", "")], "isn't given what it reads\n  wire 'image', and no latent"),
        ([("$scale}", "$scale, mode: 1}")], "'ZOO/net' is for one kind of picture"),
        ([("ZOO/net", "ZOO/net-flux")], "wire 'latent', which encoder.vae makes of a picture, and no image"),
        ([("ZOO/net", "ZOO/net-flux"), ("image: $photo, ", "latent: $z, "), Z], "takes 'mode', 0 to 2, not None"),
        ([("ZOO/net", "ZOO/net-flux"), ("image: $photo, ", "latent: $z, mode: 1, "), Z], "is a FluxControlNetModel"),
        ([("control: [$led]", "control: [$photo]")], "'control' takes a Control, '\\$photo' is an Image"),
        ([("outputs: [sampler]", "outputs: [led]")], "'led' is a Control: it has no value to output"),
        ([("scale: $scale}", "scale: $scale, store: always}")], "what 'control' makes can't be stored"),
    ],
)  # fmt: skip
def test_wrong_wiring_is_an_error_when_checked(lab, changes, said):
    with pytest.raises(UserError, match=said):
        lab.load(GRAPH, *changes).check()


def test_a_strength_and_a_picture_of_each_item(lab):
    run = lab.run(GRAPH)
    assert computed(run) == {"sampler": 6, "text": 1}
    rows = torch.tensor(run.results.sampler.values)
    plain = torch.tensor(lab.run(GRAPH, *PLAIN).results.sampler.values)
    assert close(rows[0], plain)
    assert not close(rows[1], plain, 1e-3)
    assert not close(rows[1], rows[2], 1e-3)
    alone = lab.load(GRAPH).run(lab.folder / "other", lab.runs, batch=1).results.sampler.values
    assert close(torch.tensor(alone), rows)


def test_a_strength_that_changes_with_the_step_shares_what_is_alike(lab):
    axis = ("scale: [0, 0.5, 1]", "end: [0.3, 0.6, 1]")
    apart = lab.run(GRAPH, axis, ("scale: $scale", "end: $end"))
    assert apart.tally.calls()["denoiser"][1] == 2 * 3 * 3
    stepwise = "x: $sampler.x, scale: {during: [0, $end], value: 1, else: 0}"
    shared = lab.run(GRAPH, axis, ("scale: $scale", stepwise))
    assert shared.tally.calls()["denoiser"][1] == 2 * (1 + 2 + 3)
    assert close(torch.tensor(shared.results.sampler.values), torch.tensor(apart.results.sampler.values))


def test_strict_numerics_give_an_item_the_same_bits_whatever_its_neighbours(lab):
    strict = ("flowgen: 1\n", "flowgen: 1\nnumerics: strict\n")
    rows = lab.run(GRAPH, strict, options={"batch": 4}).results.sampler.values
    lab.store = lab.folder / "alone"
    alone = lab.run(GRAPH, strict, ("[0, 0.5, 1]", "[0]"), options={"batch": 4})  # the network isn't run at all
    assert (alone.results.sampler.values[0] == rows[0]).all()


@pytest.mark.parametrize("dtypes", ["float16 bfloat16", "float32 float16"])
def test_two_precisions(lab, dtypes):
    own, control = dtypes.split()
    one = ("[0, 0.5, 1]", "[1]")
    rows = torch.tensor(lab.run(GRAPH, one).results.sampler.values)
    changes = (one, ("ZOO/tiny-sd1", f"ZOO/tiny-sd1, dtype: {own}"), ("ZOO/net", f"ZOO/net, dtype: {control}"))
    half = torch.tensor(lab.run(GRAPH, *changes).results.sampler.values)
    assert 0 < (half - rows).abs().max() / rows.abs().max() < 0.08


def test_keys_follow_the_weights_and_the_picture(lab, folders):
    lab.run(GRAPH)
    assert computed(lab.run(GRAPH, ("steps: 3", "steps: 3, eta: 0.0"))) == {}
    assert computed(lab.run(GRAPH, ("width: 32, height: 32", "width: 32, height: 32, filter: bicubic"))) == {
        "sampler": 6
    }
    net = drawn(diffusers.ControlNetModel.from_pretrained(folders / "net"))
    torch.nn.init.normal_(net.conv_in.weight)
    net.save_pretrained(folders / "net-other")
    assert computed(lab.run(GRAPH, ("ZOO/net", "ZOO/net-other"))) == {"sampler": 6}


def test_the_graph_that_docs_show(lab, folders):
    page = (Path(__file__).parents[2] / "docs/tasks.md").read_text(encoding="utf-8")
    text = re.findall(r"## ControlNet\n.*?```yaml\n(.*?)```", page, flags=re.DOTALL)[0]
    for name in ("edges", "depth"):
        (lab.folder / f"{name}.png").write_bytes((folders / "photo.png").read_bytes())
    changes = [("./stable-diffusion-v1-5", "ZOO/tiny-sd1"), ("./control_v11p_sd15_canny", "ZOO/net"), ("512", "32")]
    changes += [("./control_v11f1p_sd15_depth", "ZOO/net"), ("steps: 25", "steps: 2"), ("{range: 4}", "{range: 2}")]
    assert computed(lab.run(text, *changes)) == {"text": 1, "empty": 1, "sampler": 6, "image": 6}


def test_every_controlnet_leads_its_own_family_alone(tmp_path_factory):
    """Four kinds of ControlNets against the denoisers of all families."""
    folder = tmp_path_factory.mktemp("all")
    own = {"sd1-control": {"sd1", "sd2", "sd1-inpaint"}, "sdxl-control": {"sdxl"}}
    own |= {"sd3-control": {"sd3", "sd3-without-t5"}, "flux-control": {"flux", "flux-schnell"}}
    families = ["sd1", "sd2", "sd1-inpaint", "sdxl", "sdxl-refiner", "sd3", "sd3-without-t5", "flux", "flux-schnell"]
    families += ["flux-canny", "pixart", "dit", "if", "kandinsky", "animatediff", "wan", "ltx", "stable-audio", "ddpm"]
    models = {name: read_model(tiny_models.folder(name, folder), name) for name in [*own, *families]}
    one = torch.ones(1, dtype=torch.float64)
    parts = AbstractParts()
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, opening(parts.opener(mode)):
        for name, accepted in own.items():
            given = Control(torch.zeros(1, 3, 32, 32), one, 0 * one, one, models[name])
            for other in families:
                family = models[other]["family"]
                net = models[other][family.network]
                if other in accepted:
                    check(given, given.model["controlnet"], net, family, other)
                else:
                    with pytest.raises(WiringError, match=r"of ControlNets, the denoiser|isn't for"):
                        check(given, given.model["controlnet"], net, family, other)


def test_a_sweep_over_controlnets(lab, folders):
    torch.manual_seed(2)
    unet_control(tiny_models.build("sd1").unet).save_pretrained(folders / "net-two")
    nets = ["ZOO/net", "ZOO/net-two"]
    changes = [("  net: {", "  one: {"), ("from: ZOO/net}", "from: $net}"), ("$net, image", "$one, image")]
    changes += [("scale: [0, 0.5, 1]", f"net: [{', '.join(nets)}]"), ("scale: $scale", "scale: 1")]
    swept = lab.run(GRAPH, *changes)
    for row, net in enumerate(nets):
        lab.store = lab.folder / f"alone{row}"
        alone = lab.run(GRAPH, ("scale: [0, 0.5, 1]", "scale: [1]"), ("ZOO/net}", f"{net}}}"))
        assert close(torch.tensor(alone.results.sampler.values[0]), torch.tensor(swept.results.sampler.values[row]))
    assert not close(*torch.tensor(swept.results.sampler.values), 1e-3)
