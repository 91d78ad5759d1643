"""Families beyond parity: errors in graphs, the refiner, precision, folders that nobody knows."""

import dataclasses
import json
import shutil

import diffusers
import pytest
import tiny_models
import torch
from driving import close, opened
from flowgen_nodes.conditions.size import condition_size
from flowgen_nodes.denoisers.denoise import denoise
from flowgen_nodes.encoders.text import encode_text
from flowgen_nodes.models.folder import Options, read_model
from flowgen_nodes.schedulers.schedule import alphas_cumprod

from flowgen.errors import UserError, WiringError
from flowgen.experiment import load
from flowgen.values import Noisy, PerItem, Time
from flowgen.values.model import canonical

TEXTS = ["a red cat", "", "four dogs"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


def read(name, folders, dtype="float32"):
    return read_model(tiny_models.folder(name, folders), name, Options(dtype=dtype))


def at(model, data, timestep=500.0):
    """x at a time of unit variance."""
    one = torch.ones(len(data), dtype=torch.float64)
    time = Time(torch.zeros(len(data), dtype=torch.long), timestep * one.float(), 0.6 * one, 0.8 * one, 0 * one)
    return Noisy(data, time, model.config("latent")["space"])


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_the_refiner(folders):
    """Its pipeline starts from a picture; its parts are those of the larger model, told a score."""
    model = read("sdxl-refiner", folders)
    pipe = tiny_models.pipeline(tiny_models.folder("sdxl-refiner", folders))
    states, _, pooled, _ = pipe.encode_prompt(TEXTS, do_classifier_free_guidance=False)
    x = random(3, 4, 16, 16)
    sizes = torch.tensor([[32, 32, 0, 0, 6.0], [32, 64, 0, 0, 2.5], [32, 32, 0, 0, 6.0]])
    with opened():
        context = encode_text(PerItem(TEXTS), model, empty="encode")
        none = PerItem([None] * 3)
        told = condition_size(
            context, PerItem([None, 64, None]), none, none, none, none, none, PerItem([None, 2.5, None])
        )
        mine = denoise(at(model, x), model, told).data
    assert close(context.states, states, 1e-6)
    assert close(context.pooled, pooled, 1e-6)
    with torch.no_grad():
        added = {"text_embeds": pooled, "time_ids": sizes}
        wanted = pipe.unet(x, torch.full((3,), 500.0), encoder_hidden_states=states, added_cond_kwargs=added).sample
    assert close(mine, wanted, 1e-5)


@pytest.mark.parametrize("name", ["sd1", "sdxl", "sd3", "flux", "pixart", "wan"])
def test_networks_run_in_their_own_precision(folders, name):
    """x and what is predicted stay in float32; bfloat16 is near float32's."""
    found = {}
    for dtype in ("float32", "bfloat16"):
        model = read(name, folders, dtype)
        latent = model.config("latent")
        frames = [3] if "frames" in latent else []
        with opened():
            context = encode_text(PerItem(TEXTS), model)
            found[dtype] = denoise(at(model, random(3, latent["channels"], *frames, 8, 8)), model, context).data
    assert found["bfloat16"].dtype == torch.float32
    gap = (found["bfloat16"] - found["float32"]).norm() / found["float32"].norm()
    assert 0 < gap < 0.1


def test_the_autoencoder_that_overflows_stays_in_float32(folders):
    """SDXL's, as its pipeline has it; the others run in what is asked for."""
    for name, expected in (("sdxl", "float32"), ("sd1", "float16")):
        model = read(name, folders, "float16")
        assert (model.part("vae").dtype, model.part("unet").dtype) == (expected, "float16")
    assert read("sdxl", folders, "bfloat16").part("vae").dtype == "bfloat16"


def test_a_family_that_nobody_told_of(folders, tmp_path):
    folder = shutil.copytree(tiny_models.folder("sd1", folders), tmp_path / "sd1")
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace("StableDiffusionPipeline", "HunyuanDiTPipeline"))
    with pytest.raises(UserError) as caught:
        read_model(folder, "mine")
    said = str(caught.value)
    assert "flowgen doesn't know the family of 'mine', which says that it is a HunyuanDiTPipeline" in said
    assert "docs/families.md" in said
    assert "StableDiffusion3Pipeline" in said


def test_wan_without_its_second_network_is_refused(folders, tmp_path):
    folder = shutil.copytree(tiny_models.folder("wan", folders), tmp_path / "wan")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "boundary_ratio": 0.9}))
    with pytest.raises(UserError, match="no 'transformer_2'"):
        read_model(folder, "wan")


def test_a_scale_is_told_only_to_those_that_were_distilled(folders):
    model = read("flux-schnell", folders)
    with opened(), pytest.raises(WiringError, match="isn't told a scale"):
        denoise(at(model, random(1, 16, 8, 8)), model, guidance=PerItem([3.5]))


def test_conditions_are_needed_and_seconds_are_for_sounds(folders):
    model = read("sd1", folders)
    with opened():
        with pytest.raises(WiringError, match="needs a condition with states"):
            denoise(at(model, random(1, 4, 16, 16)), model)
        with pytest.raises(WiringError, match="isn't told seconds"):
            encode_text(PerItem(["a cat"]), model, seconds=PerItem([3.0]))
        sound = read("stable-audio", folders)
        with pytest.raises(WiringError, match=r"seconds must be up to 8, not 9.0"):
            encode_text(PerItem(["rain"]), sound, seconds=PerItem([9.0]))


def test_what_a_text_reads_is_no_denoiser(folders):
    """A new UNet re-encodes no text, and decodes no latent anew."""
    model = read("sdxl", folders)
    changed = dataclasses.replace(model.part("unet"), config="{}")
    from flowgen.node.registry import node_type

    for node in ("encoder.text", "decoder.vae", "noise"):
        used = model.used(node_type(node).signature.ports["model"].parts)
        assert changed.name not in {part.name for part in used}


def test_the_error_of_a_graph_says_where(tmp_path):
    sd, xl = (tiny_models.folder(name, tmp_path) for name in ("sd1", "sdxl"))
    file = tmp_path / "g.yaml"
    file.write_text(f"""\
flowgen: 1
defaults: {{model: $m}}
nodes:
  m: {{type: model, from: {sd}}}
  other: {{type: model, from: {xl}}}
  text: {{type: encoder.text, text: a cat}}
  noise: {{type: noise, seed: 1}}
  sampler: {{type: scheduler.ddim, start: $noise, prediction: $told, steps: 2}}
  told: {{type: denoiser, x: $sampler.x, context: $text}}
  image: {{type: decoder.vae, latent: $sampler, model: $other}}
outputs: [image]
""")
    with pytest.raises(UserError, match=r"g\.yaml:10:38: the latent's space .*0\.18215.* is not the one .*0\.13025"):
        load(file).check()
    file.write_text(file.read_text().replace(", model: $other", "").replace("$text}", "$text, model: $other}"))
    with pytest.raises(UserError, match=r"g\.yaml:9:29: the latent is of the space '.*0\.18215"):
        load(file).check()


def test_a_flow_model_with_a_scheduler_of_another_kind(tmp_path):
    sd3 = tiny_models.folder("sd3", tmp_path)
    file = tmp_path / "g.yaml"
    file.write_text(f"""\
flowgen: 1
defaults: {{model: $m}}
nodes:
  m: {{type: model, from: {sd3}}}
  text: {{type: encoder.text, text: a cat}}
  noise: {{type: noise, seed: 1}}
  sampler: {{type: scheduler.ddim, start: $noise, prediction: $told, steps: 2}}
  told: {{type: denoiser, x: $sampler.x, context: $text}}
outputs: [sampler]
""")
    with pytest.raises(UserError, match=r"g\.yaml:7:3: .*flow"):
        load(file).check()


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("zero", [False, True])
def test_the_training_schedule_of_cogvideox(shift, zero):
    theirs = diffusers.CogVideoXDDIMScheduler(snr_shift_scale=shift, rescale_betas_zero_snr=zero)
    mine = alphas_cumprod(canonical(dict(theirs.config)))
    assert mine.tolist() == theirs.alphas_cumprod.double().tolist()


def test_patches_over_frames_are_refused(tmp_path):
    folder = tiny_models.folder("cogvideox", tmp_path)
    config = folder / "transformer" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "patch_size_t": 2}))
    with pytest.raises(UserError, match=r"CogVideoX 1\.5"):
        read_model(folder, "cogvideox")


def test_two_networks_take_turns_by_row(folders):
    """Wan 2.2: items of one batch may be on both sides of the boundary, 900."""
    model = read("wan-2.2", folders)
    x = random(4, 16, 3, 8, 8)
    times = torch.tensor([950.0, 100.0, 900.0, 899.0])
    with opened():
        context = encode_text(PerItem([*TEXTS, "one"]), model)
        whole = at(model, x)
        whole = whole.replace(time=whole.time.replace(timestep=times))
        mine = denoise(whole, model, context).data
        alone = [denoise(whole.take([row]), model, context.take([row])).data for row in range(4)]
    assert close(mine, torch.cat(alone), 1e-5)
    pipe = tiny_models.pipeline(tiny_models.folder("wan-2.2", folders))
    with torch.no_grad():
        for row, net in enumerate([pipe.transformer, pipe.transformer_2, pipe.transformer, pipe.transformer_2]):
            one = slice(row, row + 1)
            said = net(x[one], timestep=times[one], encoder_hidden_states=context.states[one]).sample
            assert close(mine[one], said, 1e-5)


def test_a_time_for_each_frame_is_refused(tmp_path):
    folder = tiny_models.folder("wan", tmp_path)
    index = folder / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "expand_timesteps": True}))
    with pytest.raises(UserError, match=r"Wan 2\.2 5B"):
        read_model(folder, "wan")


def test_audioldm2_reads_each_text_alone(folders):
    """Texts of three lengths in one batch, beside the pipeline's own for each; what is padded is masked."""
    pipe = tiny_models.pipeline(tiny_models.folder("audioldm2", folders))
    with opened():
        mine = encode_text(PerItem(TEXTS), read("audioldm2", folders))
    assert mine.states.shape == (3, 4 + 77, 32)
    for row, text in enumerate(TEXTS):
        with torch.no_grad():
            states, _, generated = pipe.encode_prompt(text, "cpu", 1, False)
        length = states.shape[1]
        assert close(mine.states[row, :4, :16], generated[0], 1e-5)
        assert close(mine.states[row, 4 : 4 + length], states[0], 1e-5)
        assert mine.mask[row].tolist() == [1] * (4 + length) + [0] * (77 - length)


def test_models_of_speech_are_refused(tmp_path):
    folder = tiny_models.folder("audioldm2", tmp_path)
    config = folder / "text_encoder_2" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_type": "vits"}))
    with pytest.raises(UserError, match="models of speech"):
        read_model(folder, "audioldm2")
