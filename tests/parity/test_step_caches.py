"""denoiser.cached against diffusers' own pipelines with the same cache enabled, and the laws of the engine."""

import pytest
import tiny_models
import torch
from comparing import PROMPTS, SEEDS, gap, pipeline
from diffusers.hooks import FirstBlockCacheConfig, TaylorSeerCacheConfig
from flowgen_nodes.denoisers.kept import packed, unpacked
from flowgen_nodes.families import flux

from flowgen.errors import UserError, WiringError
from flowgen.experiment import load

STEPS = 8
GRAPH = """\
flowgen: 1
sweep: {{prompt: {prompts}, seed: {seeds}}}
defaults: {{model: $m}}
nodes:
  m: {{type: model, from: {folder}{how}}}
  text: {{type: encoder.text, text: $prompt}}
  empty: {{type: encoder.text, text: ""}}
  noise: {{type: noise, seed: $seed, width: 32, height: 32{noise}}}
  sampler: {{type: scheduler.{sampler}, start: $noise, prediction: $guided, steps: 8{checkpoint}}}
  cond: {{type: {denoiser}, x: $sampler.x, context: $text}}
  uncond: {{type: {denoiser}, x: $sampler.x, context: $empty}}
  guided: {{type: guidance.cfg, cond: $cond, uncond: $uncond, scale: {scale}}}
{more}outputs: [{outputs}]
"""
PLAIN = """\
  plain: {type: scheduler.euler, start: $noise, prediction: $both, steps: 8}
  yes: {type: denoiser, x: $plain.x, context: $text}
  "no": {type: denoiser, x: $plain.x, context: $empty}
  both: {type: guidance.cfg, cond: $yes, uncond: $no, scale: 4}
"""
TAYLOR = ", cache: taylorseer, interval: 2, warmup: 2, order: 2, precision: float32"
CACHES = {"first_block": ", threshold: 1", "taylorseer": TAYLOR}


def config(name, cache):
    """diffusers' own. By its default it finds no attention in Wan, whose blocks have two."""
    if cache == "first_block":
        return FirstBlockCacheConfig(1.0)
    found = [r"blocks\.\d+\.attn[12]"] if name == "wan" else None
    return TaylorSeerCacheConfig(2, 2, max_order=2, taylor_factors_dtype=torch.float32, cache_identifiers=found)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    found = tmp_path_factory.mktemp("tiny")
    for name in ("flux-schnell", "wan"):
        pipe = tiny_models.build(name)
        with torch.no_grad():  # as it is drawn, the first block hardly changes what it is given
            for weight in pipe.transformer.parameters():
                weight.mul_(2)
        pipe.save_pretrained(found / f"tiny-{name}")
    return found


def graph(parent, folder, denoiser="denoiser.cached", **about):
    said = {"prompts": PROMPTS, "seeds": SEEDS, "scale": 4, "how": "", "checkpoint": "", "more": "", "sampler": "euler"}
    said |= {"noise": ", frames: 9" if "wan" in folder.name else "", "outputs": "sampler", **about}
    file = parent / "g.yaml"
    file.write_text(GRAPH.format(folder=folder, denoiser=denoiser, **said))
    return load(file)


def latents(parent, experiment, output="sampler", store="store", **options):
    run = experiment.run(parent / store, parent / "runs", **options)
    found = torch.tensor(run.results.load()[output].values)
    return found.flatten(0, 1), run


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("name", ["flux-schnell", "wan"])
def test_equal_to_the_pipeline(tmp_path, folders, name, cache):
    """Item by item: diffusers decides for a whole batch. Beside it in the run, the same without a cache."""
    folder = tiny_models.folder(name, folders)
    experiment = graph(tmp_path, folder, "denoiser.cached" + CACHES[cache], more=PLAIN, outputs="sampler, plain")
    mine, run = latents(tmp_path, experiment, batch=3)
    pipe, row = pipeline(folder), 0
    options = {"negative_prompt": "", "num_inference_steps": STEPS, "height": 32, "width": 32, "output_type": "latent"}
    options |= {"num_frames": 9, "guidance_scale": 4.0} if name == "wan" else {"true_cfg_scale": 4.0}
    exact = torch.tensor(run.results.load()["plain"].values).flatten(0, 1)
    for prompt in PROMPTS:
        for seed in SEEDS:
            wanted = []
            for enabled in (False, True):
                if enabled:
                    pipe.transformer.enable_cache(config(name, cache))
                made = pipe(prompt=prompt, generator=torch.Generator().manual_seed(seed), **options)
                wanted.append(made.frames if name == "wan" else flux.unpacked(made.images, 16, 16))
            pipe.transformer.disable_cache()
            assert gap(exact[row : row + 1], wanted[0]) <= 1e-4
            assert gap(mine[row : row + 1], wanted[1]) <= 1e-4
            assert gap(mine[row : row + 1], exact[row : row + 1]) > 1e-2
            row += 1


def test_both_halves_of_a_guided_batch(tmp_path, folders):
    """CogVideoX's pipeline asks once for both; a cache that doesn't look at what is computed gives the same."""
    folder = tiny_models.folder("cogvideox-5b", folders)
    experiment = graph(tmp_path, folder, "denoiser.cached" + TAYLOR, seeds=[3], noise=", frames: 5", sampler="ddim")
    mine, _ = latents(tmp_path, experiment)
    pipe = pipeline(folder)
    found = [r"transformer_blocks\.\d+\.attn1"]
    pipe.transformer.enable_cache(
        TaylorSeerCacheConfig(2, 2, max_order=2, taylor_factors_dtype=torch.float32, cache_identifiers=found)
    )
    options = {"num_inference_steps": STEPS, "height": 32, "width": 32, "num_frames": 5, "guidance_scale": 4.0}
    generators = [torch.Generator().manual_seed(3) for _ in PROMPTS]
    wanted = pipe(prompt=PROMPTS, generator=generators, output_type="latent", **options).frames.transpose(1, 2)
    assert gap(mine, wanted) <= 1e-4


@pytest.mark.parametrize("cache", CACHES)
def test_neighbours_and_checkpoints_change_nothing(tmp_path, folders, cache):
    """Guidance from the middle on: half of the steps leave the unconditional network, and its cache, alone."""
    folder = tiny_models.folder("flux-schnell", folders)
    denoiser = "denoiser.cached" + CACHES[cache]
    late = "{during: [0.25, 1], value: 4, else: 1}"
    alone, _ = latents(tmp_path, graph(tmp_path, folder, denoiser, scale=late), batch=1)
    together, _ = latents(tmp_path, graph(tmp_path, folder, denoiser, scale=late), store="other", batch=4)
    assert gap(together, alone) <= 1e-5
    first = "{during: [0.25, 0.625], value: 4, else: 1}"
    begun = graph(tmp_path, folder, denoiser, scale=first, checkpoint=", checkpoint: {step: [5]}")
    latents(tmp_path, begun, store="third")
    resumed = graph(tmp_path, folder, denoiser, scale=late, checkpoint=", checkpoint: {step: [5]}")
    found, run = latents(tmp_path, resumed, store="third")
    assert run.tally.calls()["denoiser.cached"][1] == 4 * 3 * 2  # items, steps left, cond and uncond
    assert gap(found, alone) <= 1e-5


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("sd3", "", "a SD3Transformer2DModel, knows no step caches"),
        ("ltx", "", "'cache' leaves out all blocks but the first, and '.*' has 1"),
        ("flux", ", cache: taylorseer, interval: 0", "'interval' is at least 1"),
        ("flux", ", order: -1", "'order' is at least 0"),
        ("flux", ", cache: teacache", "'cache' should be"),
    ],
)
def test_what_cannot_be_cached_is_an_error_of_the_graph(tmp_path, folders, name, options, said):
    with pytest.raises(UserError, match=said):
        graph(tmp_path, tiny_models.folder(name, folders), "denoiser.cached" + options).check()


def test_a_compiled_network_is_refused(tmp_path, folders):
    with pytest.raises(UserError, match="a compiled network"):
        graph(tmp_path, tiny_models.folder("flux", folders), how=", compile: true").check()


def test_what_is_kept_comes_back():
    state = {
        "step": 3,
        "error": 0.125,
        "none": None,
        "compute": True,
        "dtypes": (torch.bfloat16, torch.float32),
        "factors": {0: {0: torch.arange(5, dtype=torch.bfloat16), 1: torch.ones(2, 3, dtype=torch.float64)}},
        "pair": [torch.tensor([[1.5]]), "text"],
    }
    row = packed([state, {"empty": ()}], None, 2)
    assert len(packed([state], len(row), 2)) == len(row)
    for found in (unpacked(row, torch.device("cpu")), unpacked(torch.stack([row, row])[1], torch.device("cpu"))):
        assert found[1] == {"empty": ()}
        factors, pair = found[0].pop("factors"), found[0].pop("pair")
        assert factors[0][0].dtype == torch.bfloat16
        assert factors[0][0].tolist() == [0, 1, 2, 3, 4]
        assert torch.equal(factors[0][1], torch.ones(2, 3, dtype=torch.float64))
        assert torch.equal(pair[0], torch.tensor([[1.5]]))
        assert found[0] == {name: value for name, value in state.items() if name not in ("factors", "pair")}
    assert unpacked(torch.zeros_like(row), torch.device("cpu")) == []
    with pytest.raises(WiringError, match="were set aside"):
        packed([state], 64, 1)
    with pytest.raises(WiringError, match="a Generator, which can't be stored"):
        packed([{"random": torch.Generator()}], None, 1)
