"""Parts of denoisers out of action, against diffusers' own ways and scipy's blur."""

import pytest
import scipy.ndimage
import tiny_models
import torch
from diffusers.hooks import LayerSkipConfig, SmoothedEnergyGuidanceConfig, apply_layer_skip
from diffusers.hooks.smoothed_energy_guidance_utils import _apply_smoothed_energy_guidance_hook
from flowgen_nodes.denoisers.perturb import Perturbation, blurred, perturbing

from flowgen.errors import UserError, WiringError
from flowgen.experiment import load

MID = "mid_block.attentions.0.transformer_blocks"


@pytest.fixture
def unet():
    return tiny_models.build("sd1").unet.eval()


def ask(net):
    """What the UNet says of some noise and text."""
    generator = torch.Generator().manual_seed(3)
    x, text = torch.randn(2, 4, 16, 16, generator=generator), torch.randn(2, 7, 32, generator=generator)
    with torch.no_grad():
        return net(x, torch.tensor([10, 700]), encoder_hidden_states=text).sample


def perturbed(net, how, layers=("mid_block*",), blur="infinite"):
    with perturbing(net, Perturbation(how, layers, blur)):
        return ask(net)


def test_identity_attention_is_that_of_diffusers(unet):
    plain, mine = ask(unet), perturbed(unet, "identity_attention")
    apply_layer_skip(unet, LayerSkipConfig([0], MID, skip_attention=False, skip_attention_scores=True, skip_ff=False))
    theirs = ask(unet)
    assert torch.equal(mine, theirs) and not torch.equal(mine, plain)


def test_skipped_layers_are_those_of_diffusers(unet):
    mine = perturbed(unet, "skip_layers")
    apply_layer_skip(unet, LayerSkipConfig([0], MID))
    assert torch.equal(mine, ask(unet))


def test_infinitely_blurred_attention_is_that_of_diffusers(unet):
    mine = perturbed(unet, "blurred_attention")
    # its test for an infinite deviation is the wrong way round: below the threshold it takes the mean
    _apply_smoothed_energy_guidance_hook(unet, SmoothedEnergyGuidanceConfig([0], MID), 10.0)
    assert float((mine - ask(unet)).abs().max()) < 1e-6


def test_skipped_blocks_of_sd3_are_those_of_its_own_argument():
    net = tiny_models.build("sd3").transformer.eval()
    generator = torch.Generator().manual_seed(3)
    given = {
        "hidden_states": torch.randn(2, net.config.in_channels, 16, 16, generator=generator),
        "encoder_hidden_states": torch.randn(2, 9, net.config.joint_attention_dim, generator=generator),
        "pooled_projections": torch.randn(2, net.config.pooled_projection_dim, generator=generator),
        "timestep": torch.tensor([10, 700]),
    }
    with torch.no_grad():
        theirs = net(**given, skip_layers=[0]).sample
        with perturbing(net, Perturbation("skip_layers", ("transformer_blocks.0",), "infinite")):
            mine = net(**given).sample
        plain = net(**given).sample
    assert torch.equal(mine, theirs) and not torch.equal(mine, plain)


@pytest.mark.parametrize("deviation", [0.5, 1.0, 2.0])
def test_the_blur_is_a_gaussian_over_the_picture(deviation):
    query = torch.randn(2, 3, 49, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    planes = query.transpose(2, 3).reshape(2, 3, 5, 7, 7).numpy()
    reach = min(int(-(-3 * deviation // 1)), 6)
    wanted = scipy.ndimage.gaussian_filter(planes, deviation, axes=(3, 4), mode="mirror", radius=reach)
    mine = blurred(query, deviation).transpose(2, 3).reshape(2, 3, 5, 7, 7)
    assert float((mine - torch.from_numpy(wanted)).abs().max()) < 1e-12


def test_the_network_is_as_before_after_a_call_that_failed(unet):
    plain = ask(unet)
    with pytest.raises(RuntimeError), perturbing(unet, Perturbation("identity_attention", ("*",), "infinite")):
        unet(torch.zeros(1, 4, 16, 16), 1, encoder_hidden_states=torch.zeros(1, 7, 31))
    assert torch.equal(ask(unet), plain)


def test_an_unknown_layer_is_told_of_the_known_ones(unet):
    with pytest.raises(WiringError, match=r"no layer of the network is called mid_blok\*") as caught:
        perturbed(unet, "skip_layers", ("mid_blok*",))
    assert "mid_block.attentions.0.transformer_blocks.0" in caught.value.hint


def test_layers_in_a_graph(tmp_path, zoo_folder):
    """A list of names, as docs/guidance.md writes it."""
    file = tmp_path / "g.yaml"

    def check(layers):
        file.write_text(f"""\
flowgen: 1
defaults: {{model: $m}}
nodes:
  m: {{type: model, from: {zoo_folder / "digits"}}}
  text: {{type: encoder.text, text: a red three}}
  noise: {{type: noise, seed: 1}}
  sampler: {{type: scheduler.ddim, start: $noise, prediction: $weak, steps: 2}}
  weak: {{type: denoiser, x: $sampler.x, context: $text, perturb: skip_layers, layers: {layers}}}
outputs: [sampler]
""")
        load(file).check()

    check('["mid_block*", "up_blocks*"]')
    assert not load(file).run(tmp_path / "store", tmp_path / "runs").failures
    with pytest.raises(UserError, match="no layer of the network is called mid_blok"):
        check('["mid_blok*"]')
    with pytest.raises(UserError, match="'layers' should be a list, not 'mid'"):
        check("mid")


WITHOUT_EFFECT = [
    ("layers: [up_blocks*]", "'layers' are those that 'perturb' puts out of action, and it says none"),
    ("blur: 2.0", "'blur' is for 'perturb: blurred_attention', and it says none"),
    ("perturb: identity_attention, blur: 2.0", "'blur' is for 'perturb: blurred_attention', and it says ident"),
    ("rate: 24", "'rate' is for networks that are told frames per second, and that of 'MODEL' isn't"),
]


@pytest.mark.parametrize(("given", "said"), WITHOUT_EFFECT)
def test_parameters_without_effect(tmp_path, zoo_folder, given, said):
    """They would only change keys."""
    file = tmp_path / "g.yaml"
    file.write_text(f"""\
flowgen: 1
defaults: {{model: $m}}
nodes:
  m: {{type: model, from: {zoo_folder / "digits"}}}
  text: {{type: encoder.text, text: a red three}}
  noise: {{type: noise, seed: 1}}
  sampler: {{type: scheduler.ddim, start: $noise, prediction: $weak, steps: 2}}
  weak: {{type: denoiser, x: $sampler.x, context: $text, {given}}}
outputs: [sampler]
""")
    with pytest.raises(UserError) as error:
        load(file).check()
    value = given.rpartition(": ")[2]
    assert str(error.value).startswith(f"{file}:8:{file.read_text().splitlines()[7].index(value) + 1}: {said[:8]}")
    assert said.replace("MODEL", str(zoo_folder / "digits")) in str(error.value)
    assert "\n  leave it out; " in str(error.value)
