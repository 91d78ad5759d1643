"""Graphs of published models are checked from configurations alone, in seconds and without their memory."""

import resource
import time
from functools import partial

import closed_forms
import published
import pytest
from click.testing import CliRunner
from flowgen_nodes.models.folder import read_model

from flowgen.cli import flowgen as command
from flowgen.cli.tables import amount
from flowgen.errors import UserError
from flowgen.experiment import load

GRAPH = """\
flowgen: 1
defaults: {{model: $m}}
nodes:
  m: {{type: model, from: {folder}}}
  text: {{type: encoder.text, text: a red cat}}
  noise: {{type: noise, seed: 1}}
  sampler: {{type: scheduler.{sampler}, start: $noise, prediction: $told, steps: 20}}
  told: {{type: denoiser, x: $sampler.x, context: $text}}
  made: {{type: decoder.{decoder}, latent: $sampler}}
outputs: [made]
"""
SD1, SDXL, SD3, FLUX, WAN, WAN14 = published.MODELS
EXPECTED = {
    SD1: ("77 × 768", "4 × 64 × 64", "3 × 512 × 512", "ddim", "vae", lambda net: closed_forms.unet(net, 77)),
    SDXL: ("77 × 2048", "4 × 128 × 128", "3 × 1024 × 1024", "euler", "vae", lambda net: closed_forms.unet(net, 77)),
    SD3: ("333 × 4096", "16 × 128 × 128", "3 × 1024 × 1024", "euler", "vae", lambda net: closed_forms.sd3(net, 333)),
    FLUX: ("512 × 4096", "16 × 128 × 128", "3 × 1024 × 1024", "euler", "vae", lambda net: closed_forms.flux(net, 512)),
    WAN: ("512 × 4096", "16 × 21 × 60 × 104", "81 × 3 × 480 × 832", "unipc", "video",
          lambda net: closed_forms.wan(net, 512)),
    WAN14: ("512 × 4096", "16 × 21 × 60 × 104", "81 × 3 × 480 × 832", "unipc", "video",
            lambda net: closed_forms.wan(net, 512)),
}  # fmt: skip


def written(name, tmp_path):
    _, _, _, sampler, decoder, _ = EXPECTED[name]
    file = tmp_path / "g.yaml"
    folder = published.folder(name, tmp_path)
    file.write_text(GRAPH.format(folder=folder, sampler=sampler, decoder=decoder))
    return file


@pytest.mark.parametrize("name", EXPECTED)
def test_shapes_and_work(tmp_path, name):
    file = written(name, tmp_path)
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".json", ".yaml"}
    memory, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    result = CliRunner(env={"COLUMNS": "200"}).invoke(command, ["check", str(file)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert time.process_time() - began < 40  # 2 to 6 on a core of its own, imports aside
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 2**20  # KiB; the weights would be 4 to 90 GB
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line}
    states, latent, made, *_, count = EXPECTED[name]
    assert f"Conditioning {states} float32" in rows["text"]
    assert f"Latent {latent} float32" in rows["sampler"]
    assert f"Prediction {latent} float32" in rows["told"]
    assert f" {made} float32" in rows["made"]
    network = published.MODELS[name].get("unet") or published.MODELS[name]["transformer"]
    assert rows["told"].rstrip().endswith(f" {amount(count(network[2]), '')}")


def test_a_run_says_what_it_lacks(tmp_path):
    file = written(SD1, tmp_path)
    experiment = load(file)
    found = experiment.check()
    for part in ("text_encoder", "unet", "vae"):
        said = f"the part '{part}' has no safetensors weights, which a run will need: looked in "
        assert sum(warning.startswith(said) for warning in found.warnings) == 1
    assert any(warning.startswith("the part 'tokenizer' has no vocabulary") for warning in found.warnings)
    for work in (experiment.plan, partial(experiment.run, runs=tmp_path / "runs")):
        with pytest.raises(UserError, match=r"g\.yaml:5:3: the part '.*' has no .*\n  looked in .*"):
            work(tmp_path / "store")


def test_texts_without_words_need_a_length(tmp_path):
    file = written(SD1, tmp_path)
    (config,) = tmp_path.rglob("tokenizer_config.json")
    config.unlink()
    with pytest.raises(UserError, match=r"g\.yaml:5:3: the part 'tokenizer' has no vocabulary"):
        load(file).check()


def test_what_a_configuration_takes_for_granted(tmp_path):
    """The VAE of Stable Diffusion 1 says no scale, its UNet no channels."""
    latent = read_model(published.folder(SD1, tmp_path), "sd1").config("latent")
    assert (latent["channels"], latent["beside"], latent["factor"]) == (4, 0, 8)
    assert "0.18215" in latent["space"]
