"""Models from single files, with parts from elsewhere, as pickles, and as the graph says they run."""

import json
import pickle
import re
import shlex
import shutil

import pytest
import tiny_models
import torch
from click.testing import CliRunner
from driving import close, loaded
from flowgen_nodes.models.folder import Options, read_model
from flowgen_nodes.models.running import ready
from original_layout import original
from safetensors.torch import load_file, save_file
from small import Lab, computed

from flowgen.cli import flowgen as command
from flowgen.errors import UserError
from flowgen.values import Part
from flowgen.values.model import NoRoom, allowing_pickles

GRAPH = """\
flowgen: 1
sweep: {seed: {range: 2}}
defaults: {model: $m}
nodes:
  m: {type: model, from: MODEL}
  text: {type: encoder.text, text: a red cat}
  noise: {type: noise, seed: $seed}
  sampler: {type: scheduler.ddim, start: $noise, prediction: $cond, steps: 2}
  cond: {type: denoiser, x: $sampler.x, context: $text}
  image: {type: decoder.vae, latent: $sampler}
outputs: [image, text]
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    parent = tmp_path_factory.mktemp("tiny")
    pipe = tiny_models.build("sd1")
    pipe.save_pretrained(parent / "tiny-sd1")
    save_file(original(pipe), parent / "checkpoint.safetensors")
    return parent


@pytest.fixture
def lab(tmp_path, folders):
    return Lab(tmp_path, folders)


@pytest.fixture(scope="module")
def plain(folders, tmp_path_factory):
    """A run of the model with nothing said, in a store that others may share."""
    lab = Lab(tmp_path_factory.mktemp("plain"), folders)
    return lab, lab.run(GRAPH, ("MODEL", str(folders / "tiny-sd1")))


def again(plain, folders, tmp_path, more):
    """A run of the same graph with more said of the model, in the store of the plain one."""
    lab, _ = plain
    return lab.run(GRAPH, ("MODEL}", f"{folders / 'tiny-sd1'}, {more}}}"), name=f"{tmp_path.name}.yaml")


def test_a_checkpoint_in_one_file(lab, folders, plain):
    run = lab.run(GRAPH, ("MODEL", "ZOO/checkpoint.safetensors, config: ZOO/tiny-sd1"))
    for name in ("image", "text"):
        mine, wanted = (torch.from_numpy(found.results[name].values.copy()) for found in (run, plain[1]))
        assert close(mine, wanted, 1e-6), name


def test_a_checkpoint_needs_configurations(lab, folders, tmp_path):
    with pytest.raises(UserError, match=r"weights alone, no configurations\n.*config: stable-diffusion-v1-5/"):
        lab.load(GRAPH, ("MODEL", "ZOO/checkpoint.safetensors")).check()
    with pytest.raises(UserError, match="is a folder, which has configurations"):
        lab.load(GRAPH, ("MODEL", "ZOO/tiny-sd1, config: ZOO/tiny-sd1")).check()
    other = tiny_models.folder("sd2", tmp_path)
    cut = {name: t for name, t in load_file(folders / "checkpoint.safetensors").items() if "output_blocks" not in name}
    save_file(cut, tmp_path / "cut.safetensors")
    for file, config in ((tmp_path / "cut.safetensors", folders / "tiny-sd1"), (tmp_path / "x.safetensors", other)):
        save_file({name: t[:1] for name, t in cut.items()}, tmp_path / "x.safetensors")
        part = read_model(config, "m", Options(checkpoint=file)).part("unet")
        with pytest.raises(UserError, match="'unet'"):
            loaded(part)


def test_parts_from_elsewhere(folders, tmp_path, plain):
    """A folder of its own, another model's folder, a single file: the VAE's weights are those that were given."""
    vae = tiny_models.images.autoencoder(scale=0.5)
    vae.save_pretrained(tmp_path / "own")
    shutil.copytree(folders / "tiny-sd1", tmp_path / "other")
    shutil.rmtree(tmp_path / "other" / "vae")
    vae.save_pretrained(tmp_path / "other" / "vae")
    for other in ("own", "other"):
        run = again(plain, folders, tmp_path, f"parts: {{vae: {tmp_path / other}}}")
        latents = (
            plain[0]
            .run(GRAPH, ("MODEL", str(folders / "tiny-sd1")), ("[image, text]", "[sampler]"), name="latents.yaml")
            .results.sampler
        )
        with torch.no_grad():
            wanted = vae.decode(torch.from_numpy(latents.values.copy()) / 0.5).sample
        # the scale belongs to the latent's space, so the noise is another value; the text is the same
        assert "text" not in computed(run)
        assert close(torch.from_numpy(run.results.image.values.copy()), wanted, 1e-5)
    single = read_model(folders / "tiny-sd1", "m", Options(parts={"vae": place(folders / "checkpoint.safetensors")}))
    mine, own = (
        loaded(single.part("vae")).state_dict(),
        load_file(next((folders / "tiny-sd1/vae").glob("*.safetensors"))),
    )
    assert mine.keys() == own.keys()
    assert all(torch.equal(mine[name], own[name]) for name in own)
    with pytest.raises(UserError, match=r"no network 'vea' to take from elsewhere\n  did you mean 'vae'\?"):
        read_model(folders / "tiny-sd1", "m", Options(parts={"vea": place(tmp_path / "own")}))
    with pytest.raises(UserError, match="there is no 'unet' in"):
        read_model(folders / "tiny-sd1", "m", Options(parts={"unet": place(tmp_path)}))


def place(path):
    from flowgen_nodes.models.hub import Folder

    return Folder(path)


def test_another_schedule(folders, tmp_path, plain):
    run = again(plain, folders, tmp_path, "scheduler: {beta_schedule: linear, steps_offset: 0}")
    pipe = tiny_models.build("sd1")
    from diffusers import DDIMScheduler

    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, beta_schedule="linear", steps_offset=0)
    made = pipe("a red cat", num_inference_steps=2, guidance_scale=1.0, output_type="pt", height=32, width=32,
                generator=torch.Generator().manual_seed(1)).images  # fmt: skip
    mine = torch.from_numpy(run.results.image.sel(seed=1).values.copy())
    assert close((mine / 2 + 0.5).clamp(0, 1), made[0], 1e-4)
    with pytest.raises(UserError, match=r"DDIMScheduler has no entry 'beta_shedule'\n  did you mean 'beta_schedule'"):
        again(plain, folders, tmp_path, "scheduler: {beta_shedule: linear}")


@pytest.mark.parametrize("more", ["attention: math", "attention: flash", "offload: model", "device: cpu"])
def test_how_a_network_runs(folders, tmp_path, plain, more):
    """The kernel is in the keys of what the network computes; where it runs isn't."""
    run = again(plain, folders, tmp_path, more)
    assert set(computed(run)) == ({"sampler", "image"} if "attention" in more else set())
    elsewhere = Lab(tmp_path, folders).run(GRAPH, ("MODEL}", f"{folders / 'tiny-sd1'}, {more}}}"))
    assert set(computed(elsewhere)) == {"sampler", "image", "text"}
    wanted = plain[1].results.image.values
    assert abs(run.results.image.values - wanted).max() < 1e-4 > abs(elsewhere.results.image.values - wanted).max()


class Large(torch.nn.Linear):
    """A network for which no device has room."""

    def to(self, device):
        if device != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().to(device)


def test_an_offloaded_network_that_does_not_fit_is_no_batch_that_is_too_large():
    net = ready(Large(4, 4), Part("unet", "", "", "{}", offload=True), "cuda")
    with pytest.raises(NoRoom, match=r"the weights of 'unet', .* don't fit into the memory of cuda"):
        net.forward(torch.zeros(1, 4))


def test_a_compiled_network(folders, tmp_path, plain, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda call: compiled.append(call) or call)
    run = again(plain, folders, tmp_path, "compile: true")
    assert set(computed(run)) == {"sampler", "image"}
    (call,) = compiled
    assert type(call.__self__).__name__ == "UNet2DConditionModel"


def test_a_kernel_that_is_not_there(folders, tmp_path):
    lab = Lab(tmp_path, folders)
    run = lab.run(GRAPH, ("MODEL}", f"{folders / 'tiny-sd1'}, attention: cudnn}}"))
    assert {f.node for f in run.failures} >= {"sampler"}
    assert any("the attention kernel 'cudnn' can't run this network here" in f.cause for f in run.failures)


def test_precisions_are_swept(lab, folders):
    """Parts of one folder in two precisions: each its own in keys and in memory."""
    graph = GRAPH.replace("{range: 2}}", "{range: 2}, dtype: [float32, bfloat16]}")
    run = lab.run(graph, ("MODEL}", "ZOO/tiny-sd1, dtype: $dtype}"))
    found = run.results.image.transpose("dtype", ...).values
    assert computed(run)["sampler"] == 4
    assert 1e-4 < abs(found[0] - found[1]).max() < 0.5


def pickled(folders, tmp_path):
    """The model with the UNet's and the text encoder's weights in pickles."""
    folder = shutil.copytree(folders / "tiny-sd1", tmp_path / "pickled")
    for part, old in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
        file = folder / part / f"{old}.safetensors"
        torch.save(load_file(file), folder / part / f"{'pytorch_' if part == 'text_encoder' else ''}{old}.bin")
        file.unlink()
    return folder


def test_pickles_are_refused_with_a_command_that_converts_them(folders, tmp_path):
    folder = pickled(folders, tmp_path)
    for part in ("text_encoder", "unet"):  # in the order of model_index.json
        with pytest.raises(UserError, match="is a pickle, which can run code when it is read") as caught:
            read_model(folder, "pickled")
        line = re.search(r"convert it: (.*)", caught.value.hint)[1]
        assert part in line
        program, option, code = shlex.split(line)
        assert (program, option) == ("python", "-c")
        exec(code, {})
    assert read_model(folder, "converted").part("unet").files == ("diffusion_pytorch_model.safetensors",)
    for part in ("unet", "text_encoder"):
        mine, own = (loaded(read_model(f, "m").part(part)).state_dict() for f in (folder, folders / "tiny-sd1"))
        assert all(torch.equal(mine[name], own[name]) for name in own)


class Trap:
    """Runs code where a pickle is read carelessly."""

    def __reduce__(self):
        return print, ("caught",)


def test_allowed_pickles_run_no_code(folders, tmp_path, plain, monkeypatch, capsys):
    folder = pickled(folders, tmp_path)
    graph = tmp_path / "g.yaml"
    graph.write_text(GRAPH.replace("MODEL", str(folder)).replace("[image, text]", "[sampler]"))
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(command, ["check", str(graph)])
    assert "or give --allow-pickle" in str(refused.exception)
    allowed = CliRunner().invoke(command, ["run", str(graph), "--allow-pickle"], catch_exceptions=False)
    assert allowed.exit_code == 0
    with allowing_pickles(True):
        part = read_model(folder, "pickled").part("unet")
    own = loaded(read_model(folders / "tiny-sd1", "m").part("unet")).state_dict()
    assert all(torch.equal(tensor, own[name]) for name, tensor in loaded(part).state_dict().items())
    file = folder / "unet" / part.files[0]
    file.write_bytes(pickle.dumps({"conv_in.weight": Trap()}))
    with pytest.raises(UserError, match="holds more than weights"):
        loaded.__wrapped__(part)
    file.unlink()
    torch.save({"conv_in.weight": Trap()}, file)
    with pytest.raises(UserError, match="holds more than weights"):
        loaded.__wrapped__(part)
    assert "caught" not in capsys.readouterr().out


def test_missing_shards_are_named(folders, tmp_path):
    folder = shutil.copytree(folders / "tiny-sd1", tmp_path / "sharded")
    whole = next((folder / "unet").glob("*.safetensors"))
    tensors = load_file(whole)
    whole.unlink()
    names = sorted(tensors)
    shards = {f"diffusion_pytorch_model-0000{n}-of-00002.safetensors": names[n - 1 :: 2] for n in (1, 2)}
    for file, own in shards.items():
        save_file({name: tensors[name] for name in own}, folder / "unet" / file, {"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, own in shards.items() for name in own}}
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    mine = loaded(read_model(folder, "sharded").part("unet")).state_dict()
    assert all(torch.equal(mine[name], tensors[name]) for name in names)
    last = folder / "unet" / sorted(shards)[1]
    last.unlink()
    lacking = read_model(folder, "sharded").part("unet")
    with pytest.raises(UserError, match=f"the part 'unet' lacks the weights {last.name}"):
        lacking.digest(lambda _: "")


def test_options_that_are_for_pipelines_alone(zoo_folder, folders):
    with pytest.raises(UserError, match="is no diffusion model, so it takes no 'attention and compile'"):
        read_model(zoo_folder / "digits-clip", "clip", Options(numerics={"compile": True}))
