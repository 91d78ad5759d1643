"""The example graphs of large families, each on its tiny folder in place of the Hub's model."""

from pathlib import Path

import diffusers
import pytest
import tiny_models
import torch
from click.testing import CliRunner
from flowgen_nodes.models.hub import NAME
from ruamel.yaml import YAML
from small import close

from flowgen.cli import flowgen as command
from flowgen.experiment import load

GRAPHS = Path(__file__).parents[1] / "graphs"
# by graph: families by input, other inputs, an output, its axes and shape, and rows of the denoisers by hand
EXAMPLES = {
    # 2 prompts and 2 seeds, 8 steps up to the later change, two predictions each; at the first, the unconditional ones
    # of a seed are one. Then 3 and 2 steps of the refiner.
    "21_sdxl_and_refiner": (
        {"base": "sdxl", "refiner": "sdxl-refiner"}, {"steps": 10},
        "image", (2, 2, 2, 3, 32, 32), 4 * 8 * 2 - 2 + 4 * (3 + 2) * 2,
    ),
    # guidance 1 needs no unconditional prediction; the scales share the first step, its unconditional ones also prompts
    "22_stable_diffusion_3": (
        {"from": "sd3"}, {"steps": 3, "width": 32, "height": 32},
        "image", (2, 3, 2, 3, 32, 32), 4 + 2 + 4 * 2 * (2 * 2 + 1),
    ),
    "23_flux": ({"from": "flux"}, {"steps": 3, "width": 32, "height": 32}, "image", (1, 3, 2, 3, 32, 32), 3 * 3 * 2),
    # the conditional prediction of the first step is one for both negative prompts
    "24_video": (
        {"from": "wan"}, {"steps": 3, "width": 16, "height": 16, "frames": 9},
        "video", (1, 2, 1, 9, 3, 16, 16), 3 * 2 * 2 - 1,
    ),
    # two samplers are two loops, which share no step
    "25_sound": ({"from": "stable-audio"}, {"steps": 3, "seconds": 7.75}, "sound", (1, 2, 2, 2, 31), 3 * 4 * 2),
    "26_cascade": (
        {"first": "if", "second": "if-upscaler"}, {"steps": 3},
        "image", (1, 3, 2, 3, 32, 32), 3 * 2 * 2 + 3 * 6 * 2,
    ),
    # both halves of a drawing's first step: the one that is told nothing is the same for both ideas
    "27_unclip": (
        {"prior": "kandinsky-prior", "decoder": "kandinsky"}, {"steps": 3},
        "image", (1, 2, 3, 3, 32, 32), 25 * 2 * 2 + 3 * 6 * 2 - 3,
    ),
    # the four ends are two ways in the first step, three in the second, four in the third; of the first step, both
    # prompts share the unconditional half
    "28_controlnet": (
        {"from": "sd1", "controlnet": "sd1-control"}, {"steps": 3, "size": 32},
        "image", (2, 4, 2, 3, 32, 32), 2 * 2 * (2 + 3 + 4) * 2 - 2 * 2,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


def inputs(name, folders):
    families, others, *_ = EXAMPLES[name]
    return {**{key: str(tiny_models.folder(family, folders)) for key, family in families.items()}, **others}


def test_every_graph_of_a_hub_model_is_an_example():
    assert {path.stem for path in GRAPHS.glob("*.yaml") if "zoo:" not in path.read_text()} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_graph_of_a_large_family(tmp_path, folders, name):
    families, _, output, shape, rows = EXAMPLES[name]
    file, given = GRAPHS / f"{name}.yaml", inputs(name, folders)
    text = file.read_text()
    assert len(text.splitlines()) <= 40
    for key in families:
        assert NAME.fullmatch(YAML(typ="safe").load(text)["inputs"][key]), key
    options = [f"--set={key}={value}" for key, value in given.items()]
    result = CliRunner().invoke(command, ["check", str(file), *options], catch_exceptions=False)
    assert "is sound" in result.output
    run = load(file, given).run(tmp_path / "store", tmp_path / "runs")
    assert run.results[output].shape == shape
    assert bool(torch.tensor(run.results[output].values).isfinite().all())
    assert run.tally.calls()["denoiser"][1] == rows
    made = {path.suffix for path in run.folder.rglob("*") if path.suffix in (".png", ".webp", ".wav")}
    assert made == {{"image": ".png", "video": ".webp", "sound": ".wav"}[output]}


def test_the_refiner_takes_over_as_in_diffusers(tmp_path, folders):
    given = inputs("21_sdxl_and_refiner", folders)
    file = GRAPHS / "21_sdxl_and_refiner.yaml"
    run = load(file, given, where={"seed": ["0"]}).run(tmp_path / "store", tmp_path / "runs")
    base = diffusers.StableDiffusionXLPipeline.from_pretrained(given["base"])
    refiner = diffusers.StableDiffusionXLImg2ImgPipeline.from_pretrained(given["refiner"])
    for pipe in (base, refiner):
        pipe.set_progress_bar_config(disable=True)
    for prompt in run.results.prompt.values:
        for change in run.results.change.values:
            options = {"prompt": str(prompt), "num_inference_steps": 10, "guidance_scale": 5.0}
            seeded = torch.Generator("cpu").manual_seed(0)
            left = base(**options, denoising_end=float(change), generator=seeded, output_type="latent").images
            options |= {"image": left, "denoising_start": float(change), "negative_prompt": ""}
            latent = refiner(**options, output_type="latent").images
            with torch.no_grad():  # in the published folders, both have one VAE
                theirs = base.vae.decode(latent / base.vae.config.scaling_factor).sample[0]
            mine = torch.tensor(run.results.image.sel(prompt=prompt, change=change, seed=0).values)
            assert close(mine, theirs)
