"""Low-rank updates, against the same networks with the low-rank products computed beside each layer."""

import pytest
import tiny_models
import torch
import torch.nn.functional as F
from driving import close, loaded
from flowgen_nodes.models.folder import Options, read_model
from flowgen_nodes.models.hub import Folder
from flowgen_nodes.models.lora import update
from safetensors.torch import save_file
from small import Lab, computed

from flowgen.errors import UserError
from flowgen.execute.pool import Pool

ATTENTION = "down_blocks.1.attentions.0.transformer_blocks.0.attn1"
UNET = [f"{ATTENTION}.to_q", f"{ATTENTION}.to_out.0", "down_blocks.1.attentions.0.proj_in", "mid_block.resnets.0.conv1"]
TEXT = ["encoder.layers.0.self_attn.q_proj", "encoder.layers.0.self_attn.out_proj", "encoder.layers.1.mlp.fc1"]
RANK, ALPHA = 3, 1.5
LORA = """\
flowgen: 1
sweep: {scale: [0, 0.5, 1], seed: {range: 2}}
defaults: {model: $m}
nodes:
  m: {type: model, from: tiny-sd1, lora: [{from: LORA.safetensors, scale: $scale}]}
  text: {type: encoder.text, text: a red cat}
  noise: {type: noise, seed: $seed}
  sampler: {type: scheduler.ddim, start: $noise, prediction: $cond, steps: 2}
  cond: {type: denoiser, x: $sampler.x, context: $text}
outputs: [sampler, text]
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    parent = tmp_path_factory.mktemp("tiny")
    for name in ("sd1", "flux"):
        tiny_models.folder(name, parent)
    return parent


def factors(module, names, seed=0):
    """A and B for some layers of a network."""
    layers, draw = dict(module.named_modules()), torch.Generator().manual_seed(seed)
    found = {}
    for name in names:
        weight = layers[name].weight
        up = (len(weight), RANK, *[1] * (weight.dim() - 2))
        shapes = (RANK, *weight.shape[1:]), up
        found[name] = tuple(torch.randn(shape, generator=draw) * 0.3 for shape in shapes)
    return found


def beside(module, low_rank, scale):
    """The network with scale * B(A x) beside each layer."""
    layers = dict(module.named_modules())
    for name, (down, up) in low_rank.items():

        def hook(layer, given, found, down=down, up=up):
            if down.dim() == 2:
                return found + scale * F.linear(F.linear(given[0], down), up)
            return found + scale * F.conv2d(F.conv2d(given[0], down, stride=layer.stride, padding=layer.padding), up)

        layers[name].register_forward_hook(hook)
    return module


def tensors(layout, unet, text):
    """The tensors of a file in a layout; kohya's has alphas."""
    found = {}
    for part, short, low_rank in (("unet", "unet", unet), ("text_encoder", "te", text)):
        for name, (down, up) in low_rank.items():
            name = f"text_model.{name}" if short == "te" else name
            if layout == "kohya":
                start = f"lora_{short}_{name.replace('.', '_')}"
                found |= {f"{start}.lora_down.weight": down, f"{start}.lora_up.weight": up}
                found[f"{start}.alpha"] = torch.tensor(ALPHA)
            else:
                older = "lora" if part == "unet" else "lora_linear_layer"
                own = {"peft": ("lora_A", "lora_B"), "diffusers": (f"{older}.down", f"{older}.up")}
                down_name, up_name = own[layout]
                found |= {f"{part}.{name}.{down_name}.weight": down, f"{part}.{name}.{up_name}.weight": up}
    return {name: tensor.contiguous() for name, tensor in found.items()}


def with_lora(folder, file, scale, **options):
    return read_model(folder, "tiny", Options(updates=(update(Folder(file), file.name, scale),), **options))


@pytest.mark.parametrize("layout", ["kohya", "peft", "diffusers"])
def test_networks_with_an_update(folders, tmp_path, layout):
    pipe = tiny_models.build("sd1")
    unet, text = factors(pipe.unet, UNET), factors(pipe.text_encoder, TEXT, seed=1)
    save_file(tensors(layout, unet, text), tmp_path / "lora.safetensors")
    model = with_lora(folders / "tiny-sd1", tmp_path / "lora.safetensors", 0.8)
    scale = 0.8 * (ALPHA / RANK if layout == "kohya" else 1)
    x, context = torch.randn(2, 4, 16, 16), torch.randn(2, 7, 32)
    ids = torch.tensor([[1, 5, 9, 2]])
    with torch.no_grad():
        mine = loaded(model.part("unet"))(x, 500, encoder_hidden_states=context).sample
        plain = pipe.unet(x, 500, encoder_hidden_states=context).sample
        wanted = beside(pipe.unet, unet, scale)(x, 500, encoder_hidden_states=context).sample
        assert close(mine, wanted, 1e-5)
        assert not close(mine, plain, 1e-2)
        said = loaded(model.part("text_encoder"))(ids).last_hidden_state
        assert close(said, beside(pipe.text_encoder, text, scale)(ids).last_hidden_state, 1e-5)


def test_two_updates_of_flux_in_peft_layout(folders, tmp_path):
    net = tiny_models.build("flux").transformer
    names = ["transformer_blocks.0.attn.to_q", "single_transformer_blocks.0.proj_out"]
    for n in (0, 1):
        made = factors(net, names, seed=n)
        pairs = {f"transformer.{k}.lora_{'AB'[m]}.weight": v[m] for k, v in made.items() for m in (0, 1)}
        save_file(pairs, tmp_path / f"{n}.safetensors")
    updates = tuple(update(Folder(tmp_path / f"{n}.safetensors"), str(n), 0.5 + n) for n in (0, 1))
    model = read_model(folders / "tiny-flux", "tiny", Options(updates=updates))
    mine = dict(loaded(model.part("transformer")).named_parameters())
    first, second = factors(net, names, seed=0), factors(net, names, seed=1)
    for name in names:
        delta = 0.5 * first[name][1] @ first[name][0] + 1.5 * second[name][1] @ second[name][0]
        wanted = dict(net.named_parameters())[f"{name}.weight"] + delta
        assert close(mine[f"{name}.weight"], wanted, 1e-6)


def test_two_sets_never_leak_into_one_another(folders, tmp_path):
    """One pool, one folder, parts asked for in turn: each keeps its own weights."""
    net = tiny_models.build("sd1").unet
    layer = f"{UNET[0]}.weight"
    plain = dict(net.named_parameters())[layer]
    wanted, parts = {"none": plain}, {"none": read_model(folders / "tiny-sd1", "tiny").part("unet")}
    for n, (name, scale) in enumerate([("a", 1.0), ("b", 1.0), ("half", 0.5)]):
        low_rank = factors(net, UNET, seed=n)
        save_file(tensors("peft", low_rank, {}), tmp_path / f"{name}.safetensors")
        wanted[name] = plain + scale * low_rank[UNET[0]][1] @ low_rank[UNET[0]][0]
        parts[name] = with_lora(folders / "tiny-sd1", tmp_path / f"{name}.safetensors", scale).part("unet")

    def digest(path):
        return f"{path} {path.stat().st_size}"

    pool = Pool()
    opened = pool.opener("cpu", {part: part.digest(digest) for part in parts.values()}, digest)
    for name in ["a", "none", "b", "half", "a", "none", "b", "a"]:
        assert close(dict(opened(parts[name]).named_parameters())[layer], wanted[name], 1e-6), name
    assert pool.loads == 4


def test_a_swept_scale_computes_what_it_changes(folders, tmp_path):
    lab = Lab(tmp_path, folders)
    (tmp_path / "tiny-sd1").symlink_to(folders / "tiny-sd1")
    net = tiny_models.build("sd1").unet
    save_file(tensors("kohya", factors(net, UNET), {}), tmp_path / "LORA.safetensors")
    run = lab.run(LORA)
    assert computed(run) == {"sampler": 6, "text": 1}  # the file has nothing for the text encoder
    plain = lab.run(LORA, (", lora: [{from: LORA.safetensors, scale: $scale}]", ""), ("scale: [0, 0.5, 1], ", ""))
    assert computed(plain) == {}  # at scale 0 it is the model without
    save_file(tensors("kohya", factors(net, UNET, seed=9), {}), tmp_path / "LORA.safetensors")
    again = lab.run(LORA)
    assert computed(again) == {"sampler": 4}  # other weights: all but scale 0
    rows = again.results.sampler.values
    assert abs(rows[0] - rows[1]).max() > 1e-3 < abs(rows[1] - rows[2]).max()
    assert (run.results.sampler.values[0] == rows[0]).all()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["unet.conv_in.weight"], "has no low-rank weights"),
        (["unet.conv_in.lora_A.weight", "unet.conv_in.lora_magnitude_vector"], "another kind of update than LoRA"),
        (["text_encoder_2.x.lora_A.weight"], "changes the part 'text_encoder_2', which the model lacks"),
    ],
)
def test_files_that_are_no_update_of_the_model(folders, tmp_path, names, said):
    save_file({name: torch.ones(2, 2) for name in names}, tmp_path / "lora.safetensors")
    with pytest.raises(UserError, match=said):
        with_lora(folders / "tiny-sd1", tmp_path / "lora.safetensors", 1.0)


def test_layers_that_do_not_fit_are_named(folders, tmp_path):
    for name, shape in (("no_such_layer", 32), (UNET[0], 16)):
        made = {f"unet.{name}.lora_A.weight": torch.ones(2, shape), f"unet.{name}.lora_B.weight": torch.ones(32, 2)}
        save_file(made, tmp_path / f"{shape}.safetensors")
        part = with_lora(folders / "tiny-sd1", tmp_path / f"{shape}.safetensors", 1.0).part("unet")
        with pytest.raises(UserError, match=f"doesn't fit the layer '{name}' of the part 'unet'"):
            loaded(part)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{frm: x}", r"5:\d+: 'lora' takes no entry 'frm': \[\{'frm': 'x'\}\]"),
        ("{scale: 1}", r"5:\d+: 'lora' needs the entry 'from': \[\{'scale': 1\}\]"),
        ("{from: x, scale: much}", r"5:\d+: 'lora' should be a number, not "),
        ("{from: x, scale: $scale}", r"there is no file or folder 'x'\n  looked at /"),
    ],
)
def test_mistakes_in_an_entry(folders, tmp_path, entry, said):
    with pytest.raises(UserError, match=said):
        Lab(tmp_path, folders).load(
            LORA, ("{from: LORA.safetensors, scale: $scale}", entry), ("tiny-sd1", "ZOO/tiny-sd1")
        ).check()
