"""Denoisers of the size of Stable Diffusion 1.5 and XL, random weights, against diffusers' own pipeline.

    python benchmarks/gpu/denoisers.py [--models sd15 sdxl] [--batches 1 4 16 32] [--compile] [--steps 20]

For each model and batch: images a second (sampling alone: texts are encoded before, nothing is decoded) of

* diffusers: the model's pipeline with DDIM and classifier-free guidance, a call for each batch of each scale;
* one scale: the same images as a flowgen graph, batches of the same size;
* a sweep: four guidance scales, points share batches and their first step; both draw the same images.

Then the largest memory allocated on the device, and the share of the device's own rate of matrix products that the
graph's FLOPs come to. Ratios above 1 are flowgen's. Each contestant makes a short run before it is timed, which loads,
compiles and chooses kernels.

``--size small --device cpu`` is a check of the script with networks of a few channels, no measurement.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "full_size"))
MODELS = {
    "sd15": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "sdxl": "stabilityai/stable-diffusion-xl-base-1.0",
}
SCALES = [1, 3, 5, 7.5]
SCALE = 5
PROMPT = "a red three"
GRAPH = """\
flowgen: 1
sweep: {{guidance: {scales}, seed: {{range: [{first}, {last}]}}}}
defaults: {{model: $m}}
nodes:
  m: {{type: model, from: "{folder}", dtype: {dtype}, compile: {compile}}}
  text: {{type: encoder.text, text: "{prompt}"}}
  empty: {{type: encoder.text, text: "", empty: encode}}
  noise: {{type: noise, seed: $seed}}
  sampler: {{type: scheduler.ddim, start: $noise, prediction: $guided, steps: {steps}}}
  cond: {{type: denoiser, x: $sampler.x, context: $text}}
  uncond: {{type: denoiser, x: $sampler.x, context: $empty}}
  guided: {{type: guidance.cfg, cond: $cond, uncond: $uncond, scale: $guidance}}
outputs: [sampler]
"""
FEW = {
    "unet": {"block_out_channels": 32, "attention_head_dim": 8, "sample_size": 16, "transformer_layers_per_block": 1},
    "vae": {"block_out_channels": 32},
    "text_encoder": {"num_hidden_layers": 2},
    "text_encoder_2": {"num_hidden_layers": 2},
}


def shrunk(part: str, config: dict[str, Any]) -> dict[str, Any]:
    """A part's configuration with few channels and layers."""
    found = dict(config)
    for name, value in FEW.get(part, {}).items():
        if name in config:
            found[name] = [value] * len(config[name]) if isinstance(config[name], list) else value
    return found


def written(name: str, folder: Path, small: bool, dtype: torch.dtype, device: str) -> Path:
    """A model's folder with random weights, made on the device."""
    import diffusers
    import transformers
    from published import MODELS as PUBLISHED

    made = folder / name
    index: dict[str, Any] = {}
    torch.manual_seed(0)
    for part, about in PUBLISHED[MODELS[name]].items():
        if part == "_class_name":
            index[part] = about
            continue
        library, cls, config = about
        index[part] = [library, cls]
        config = shrunk(part, config) if small else config
        if part.startswith("tokenizer"):
            shutil.copytree(ROOT / "nodes" / "zoo" / "weights" / "digits" / "tokenizer", made / part)
            about_words = json.loads((made / part / "tokenizer_config.json").read_text())
            (made / part / "tokenizer_config.json").write_text(json.dumps({**about_words, "model_max_length": 77}))
        elif part == "scheduler":
            index[part] = ["diffusers", "DDIMScheduler"]
            diffusers.DDIMScheduler(**{k: v for k, v in config.items() if k != "skip_prk_steps"}, clip_sample=False,
                                    set_alpha_to_one=False).save_pretrained(made / part)  # fmt: skip
        else:
            found = getattr(diffusers if library == "diffusers" else transformers, cls)
            with torch.device(device):
                network = found.from_config(config) if library == "diffusers" else found(
                    found.config_class.from_dict(config))  # fmt: skip
            network.to(dtype).save_pretrained(made / part)
            del network
    (made / "model_index.json").write_text(json.dumps(index))
    return made


def synchronised(device: str) -> None:
    """Wait for the device."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def timed(device: str, work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of some work, and what it gave."""
    synchronised(device)
    started = time.perf_counter()
    found = work()
    synchronised(device)
    return time.perf_counter() - started, found


def peak(device: str) -> float:
    """GiB allocated at most on the device since it was last asked."""
    if not device.startswith("cuda"):
        return 0.0
    found = torch.cuda.max_memory_allocated() / 2**30
    torch.cuda.reset_peak_memory_stats()
    return found


class Pipeline:
    """Diffusers' pipeline, texts encoded once."""

    def __init__(self, folder: Path, chosen: argparse.Namespace, dtype: torch.dtype) -> None:
        import diffusers

        diffusers.utils.logging.set_verbosity_error()
        diffusers.utils.logging.disable_progress_bar()
        self.chosen = chosen
        self.pipe = diffusers.DiffusionPipeline.from_pretrained(
            folder, dtype=dtype, **({} if "xl" in folder.name else {"safety_checker": None})
        ).to(chosen.device)
        self.pipe.set_progress_bar_config(disable=True)
        if chosen.compile:
            self.pipe.unet.compile()
        names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
        with torch.no_grad():
            told = self.pipe.encode_prompt(PROMPT, device=chosen.device, num_images_per_prompt=1,
                                           do_classifier_free_guidance=True, negative_prompt="")  # fmt: skip
        self.told = dict(zip(names, told, strict=False))

    def draw(self, scale: float, seeds: list[int], batch: int) -> None:
        """Latents of these seeds, a batch at a time."""
        for start in range(0, len(seeds), batch):
            some = seeds[start : start + batch]
            self.pipe(
                **{name: value.expand(len(some), *value.shape[1:]) for name, value in self.told.items()},
                generator=[torch.Generator("cpu").manual_seed(seed) for seed in some],
                guidance_scale=scale,
                num_inference_steps=self.chosen.steps,
                output_type="latent",
            )


def graph_run(folder: Path, chosen: argparse.Namespace, scales: list[float], first: int, count: int, batch: int) -> Any:
    """A run over some seeds, with a store of its own; seconds of its sampler, and its plan."""
    import flowgen

    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        text = GRAPH.format(scales=scales, first=first, last=first + count, folder=folder, dtype=chosen.dtype,
                            compile=str(chosen.compile).lower(), prompt=PROMPT, steps=chosen.steps)  # fmt: skip
        (place / "graph.yaml").write_text(text, encoding="utf-8")
        run = flowgen.load(place / "graph.yaml").run(place / "store", place / "runs", batch=batch, device=chosen.device)
        return sum(r.seconds for r in run.tally.receipts if r.stage == "sampler"), run.plan


def ceiling(chosen: argparse.Namespace, dtype: torch.dtype) -> float:
    """FLOPs a second of one large product of matrices."""
    size = 512 if chosen.size == "small" else 8192
    a, b = (torch.randn(size, size, device=chosen.device, dtype=dtype) for _ in range(2))
    for _ in range(3):
        a @ b
    seconds, _ = timed(chosen.device, lambda: [a @ b for _ in range(20)])
    return 20 * 2 * size**3 / seconds


def measure(name: str, folder: Path, chosen: argparse.Namespace, dtype: torch.dtype) -> None:
    """The rows of one model."""
    most = ceiling(chosen, dtype)
    print(f"\n{name}, {chosen.dtype}, {chosen.steps} steps{', compiled' if chosen.compile else ''}; "
          f"matrix products: {most / 1e12:.1f} TFLOP/s")  # fmt: skip
    print(f"{'batch':>6}{'diffusers':>11}{'one scale':>11}{'ratio':>7}{'sweep':>9}{'ratio':>7}"
          f"{'GiB theirs':>12}{'ours':>7}{'of ceiling':>12}")  # fmt: skip
    for batch in chosen.batches:
        count = max(8, batch)
        pipe = Pipeline(folder, chosen, dtype)
        pipe.draw(SCALE, list(range(batch)), batch)
        peak(chosen.device)
        seeds = list(range(count))
        theirs, _ = timed(chosen.device, lambda p=pipe, s=seeds, b=batch: p.draw(SCALE, s, b))
        sweep, _ = timed(chosen.device, lambda p=pipe, s=seeds, b=batch: [p.draw(scale, s, b) for scale in SCALES])
        gib = peak(chosen.device)
        del pipe
        gc.collect()  # or it would go in the middle of the next measurement
        graph_run(folder, chosen, [SCALE], 10_000, batch, batch)
        peak(chosen.device)
        mine, plan = graph_run(folder, chosen, [SCALE], 0, count, batch)
        swept, _ = graph_run(folder, chosen, SCALES, 0, count, batch)
        own = peak(chosen.device)
        share = plan.nodes["sampler"].flops / mine / most
        rates = f"{count / theirs:11.2f}{count / mine:11.2f}{theirs / mine:7.2f}"
        rates += f"{len(SCALES) * count / swept:9.2f}{sweep / swept:7.2f}"
        print(f"{batch:6}{rates}{gib:12.1f}{own:7.1f}{share:12.2f}", flush=True)


def main() -> None:
    """Print a table for each model."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    options.add_argument("--batches", nargs="+", type=int, default=[1, 4, 16, 32])
    options.add_argument("--steps", type=int, default=20)
    options.add_argument("--compile", action="store_true")
    options.add_argument("--device", default="cuda")
    options.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float16", "float32"])
    options.add_argument("--size", default="full", choices=["full", "small"])
    chosen = options.parse_args()
    dtype = getattr(torch, chosen.dtype)
    where = torch.cuda.get_device_name() if chosen.device.startswith("cuda") else chosen.device
    import diffusers

    print(f"{where}; torch {torch.__version__}, diffusers {diffusers.__version__}")
    with tempfile.TemporaryDirectory() as name:
        for model in chosen.models:
            folder = written(model, Path(name), chosen.size == "small", dtype, chosen.device)
            measure(model, folder, chosen, dtype)
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
