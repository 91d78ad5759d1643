"""Adapters of image prompts in graphs: what is refused, what keys hold, networks with others beside them."""

import re
from pathlib import Path

import pytest
import tiny_models
import torch
from driving import close
from flowgen_nodes.models.folder import Options, read_model
from flowgen_nodes.models.hub import Folder
from flowgen_nodes.models.ip_adapter import adapter
from PIL import Image as Pillow
from safetensors.torch import save_file
from small import Lab, computed
from tiny_models.adapters import ip_adapter
from tiny_models.texts import clip_pixels, clip_vision

from flowgen.errors import UserError
from flowgen.execute.pool import Pool

GRAPH = """\
flowgen: 1
sweep: {scale: [0, 0.5, 1], seed: {range: 2}}
defaults: {model: $m}
nodes:
  m: {type: model, from: ZOO/tiny-sd1, ip_adapter: [{from: ZOO/one.safetensors, scale: $scale}]}
  eye: {type: model, from: ZOO/eye}
  photo: {type: image.load, file: ZOO/photo.png}
  seen: {type: encoder.image, model: $eye, image: $photo}
  text: {type: encoder.text, text: a red cat}
  noise: {type: noise, seed: $seed}
  sampler: {type: scheduler.ddim, start: $noise, prediction: $cond, steps: 2}
  cond: {type: denoiser, x: $sampler.x, context: $text, image_prompt: [$seen]}
outputs: [sampler]
"""
FILE = "ZOO/one.safetensors"
ADAPTER = (", ip_adapter: [{from: ZOO/one.safetensors, scale: $scale}]", "")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    for family in ("sd1", "flux"):
        tiny_models.folder(family, folder)
    clip_vision().save_pretrained(folder / "eye")
    clip_vision(48).save_pretrained(folder / "wide")
    clip_pixels().save_pretrained(folder / "eye")
    unet = tiny_models.build("sd1").unet
    for seed, name in enumerate(["one", "two"]):
        save_file(ip_adapter(unet, seed=seed), folder / f"{name}.safetensors")
    save_file(ip_adapter(unet, plus=True), folder / "plus.safetensors")
    save_file(ip_adapter(tiny_models.build("sdxl").unet), folder / "xl.safetensors")
    save_file({**ip_adapter(unet), "ip_adapter.0.to_k_lora.down.weight": torch.ones(1)}, folder / "face.safetensors")
    save_file({"image_proj.proj.weight": torch.ones(1)}, folder / "half.safetensors")
    Pillow.radial_gradient("L").convert("RGB").save(folder / "photo.png")
    return folder


@pytest.fixture
def lab(tmp_path, folders):
    return Lab(tmp_path, folders)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            [(", image_prompt: [$seen]", "")],
            "'ZOO/tiny-sd1' should be 1, not 0\n  one for each of the model's",
        ),
        ([("[$seen]", "[$seen, $seen]")], "should be 1, not 2"),
        ([ADAPTER, ("scale: [0, 0.5, 1], ", "")], "should be 0, not 1"),
        ([("[$seen]", "[$text]")], "comes from encoder.image, it isn't of the kind 'CLIP states'"),
        ([("ZOO/eye", "ZOO/wide")], "the image prompt has width 48, the adapter takes 32"),
        ([(FILE, "ZOO/plus.safetensors")], "an adapter reads the states of a picture\n  encoder.image, states: true"),
        ([(FILE, "ZOO/xl.safetensors")], "xl.safetensors doesn't fit the part 'unet': "),
        ([(FILE, "ZOO/face.safetensors")], "'face.safetensors' is an adapter of faces"),
        ([(FILE, "ZOO/half.safetensors")], "'half.safetensors' is no IP-Adapter"),
        ([(FILE, "ZOO")], "'ZOO' has 6 files that could be an adapter's\n  say which: weights: face.safetensors"),
        ([(FILE, "ZOO, weights: none.safetensors")], "there is no file 'none.safetensors' in 'ZOO'"),
        ([("ZOO/tiny-sd1", "ZOO/tiny-flux")], "this model takes no image prompts\n  leave 'ip_adapter' out"),
        ([("ZOO/tiny-sd1", "ZOO/eye")], "'ZOO/eye' is no diffusion model, so it takes no 'ip_adapter'"),
    ],
)
def test_wrong_wiring_is_an_error_when_checked(lab, changes, said):
    with pytest.raises(UserError, match=re.escape(said)):
        lab.load(GRAPH, *changes).check()


def test_keys_follow_the_adapter_its_scale_and_the_picture(lab):
    run = lab.run(GRAPH)
    assert computed(run) == {"seen": 1, "sampler": 6, "text": 1}
    rows = torch.tensor(run.results.sampler.values)
    plain = (ADAPTER, (", image_prompt: [$seen]", ""))
    without = lab.run(GRAPH, *plain, ("scale: [0, 0.5, 1], ", ""))
    assert computed(without) == {"sampler": 2}  # the text is encoded
    assert close(rows[0], torch.tensor(without.results.sampler.values), 1e-4)
    assert not close(rows[1], rows[0], 1e-3)
    assert not close(rows[1], rows[2], 1e-3)
    assert computed(lab.run(GRAPH, (FILE, "ZOO, weights: one.safetensors"))) == {}
    assert computed(lab.run(GRAPH, (FILE, "ZOO/two.safetensors"))) == {"sampler": 6}
    flat = lab.run(GRAPH, ("ZOO/photo.png", "ZOO/photo.png, width: 16, height: 16"))
    assert computed(flat) == {"seen": 1, "sampler": 6}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_in_half_precision(lab, dtype):
    seen = ("image: $photo}", "image: $photo, states: true}")
    both = ("scale: $scale}]", "scale: $scale}, {from: ZOO/plus.safetensors}]")
    changes = (seen, both, ("[$seen]", "[$seen, $seen]"), ("[0, 0.5, 1]", "[1]"))
    rows = torch.tensor(lab.run(GRAPH, *changes).results.sampler.values)
    half = lab.run(GRAPH, *changes, ("ip_adapter:", f"dtype: {dtype}, ip_adapter:")).results.sampler.values
    gap = (torch.tensor(half) - rows).abs().max() / rows.abs().max()
    assert 0 < gap < {"float16": 0.01, "bfloat16": 0.08}[dtype]


def test_two_sets_never_leak_into_one_another(folders):
    """One pool, one folder, parts asked for in turn: each keeps its own weights and scale."""
    pool, parts, wanted = Pool(), {}, {}
    for name, files, scale in [
        ("none", [], 0),
        ("one", ["one"], 1.0),
        ("half", ["one"], 0.5),
        ("both", ["two", "one"], 1.0),
    ]:
        adapters = tuple(adapter(Folder(folders / f"{file}.safetensors"), "", file, scale) for file in files)
        parts[name] = read_model(folders / "tiny-sd1", name, Options(adapters=adapters)).part("unet")
        pipe = tiny_models.build("sd1")
        if files:
            pipe.load_ip_adapter(str(folders), "", [f"{file}.safetensors" for file in files], image_encoder_folder=None)
            pipe.set_ip_adapter_scale([scale] * len(files))
        wanted[name] = pipe.unet
    x, states, seen = torch.randn(2, 4, 16, 16), torch.randn(2, 7, 32), torch.randn(2, 1, 32)
    given = {"none": None, "one": [seen], "half": [seen], "both": [seen, -seen]}

    def said(net, name):
        with torch.no_grad():
            more = {"image_embeds": given[name]}
            return net(x, 500, encoder_hidden_states=states, added_cond_kwargs=more).sample

    def digest(path):
        return f"{path} {path.stat().st_size}"

    opened = pool.opener("cpu", {part: part.digest(digest) for part in parts.values()}, digest)
    for name in ["one", "none", "both", "half", "one", "both", "none"]:
        assert close(said(opened(parts[name]), name), said(wanted[name], name), 1e-5), name
    assert pool.loads == 4


def test_the_graph_that_docs_show(lab, folders):
    page = (Path(__file__).parents[2] / "docs/tasks.md").read_text(encoding="utf-8")
    text = re.findall(r"## Image prompts.*?```yaml\n(.*?)```", page, flags=re.DOTALL)[0]
    (lab.folder / "style.png").write_bytes((folders / "photo.png").read_bytes())
    changes = [("./stable-diffusion-v1-5", "ZOO/tiny-sd1"), ("512", "32"), ("steps: 25", "steps: 2")]
    changes += [("./IP-Adapter/models/image_encoder", "ZOO/eye"), ("./IP-Adapter/models", "ZOO")]
    changes += [("ip-adapter_sd15.safetensors", "one.safetensors"), ("{range: 4}", "{range: 2}")]
    assert computed(lab.run(text, *changes)) == {"text": 1, "empty": 1, "seen": 1, "sampler": 6, "image": 6}
