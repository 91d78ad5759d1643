"""Writes docs/parity.md: ``python tests/parity/table.py``."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(Path(__file__).parent)]

from cases import CASES  # noqa: E402
from led_cases import LED  # noqa: E402

HEAD = """\
# Parity with diffusers

flowgen's results against those of diffusers' own pipeline: the same weights (tiny random folders, which the tests
build), prompts, seeds, guidance and negative prompt, {steps} steps, float32 on a CPU. Two prompts and two seeds each.
The bound is 1e-4, for latents times max(1, |reference|). `python tests/parity/table.py` writes this page;
`tests/parity/` checks the same cases, and the cascades of DeepFloyd IF and Kandinsky 2.2, models of pixels, variations
of a picture, upscalers, several ControlNets, image prompts, step caches, and networks that read a picture, a depth map
or a mask beside x.

| family | sampler | told beside the prompt | latents differ by | decoded differ by |
|---|---|---|---|---|
"""
PICTURES = """
Pictures and videos made into others, and parts of pictures painted anew, with guidance 4, a negative prompt (a black
picture for Kandinsky) and strength {strength} of {steps} steps (all of them where Kandinsky paints anew), two seeds
each. Videos are made of another sampler's latent, which diffusers' pipelines get in place of what they would encode:

| family | task | latents differ by | decoded differ by |
|---|---|---|---|
"""
TAIL = """
Where flowgen and diffusers differ, on purpose:

* Stable Diffusion XL's pipeline mixes up the sizes of prompts and negative prompts where a batch has more than one
  prompt and the two differ. flowgen's rows are those of prompts sampled one at a time.
* Stable Diffusion 3's inpainting pipeline leaves out the latents' shift in decoding; flowgen decodes as the others do.
* Kandinsky 2.2's inpainting pipeline puts the first picture of a batch back into all of its pictures, and by the first
  mask; here each has its own.
* Captions are lowered and stripped for DeepFloyd IF and PixArt; diffusers can also clean them with optional packages.
* A ControlNet leads in the steps that begin before `end`; diffusers leaves out a step that `control_guidance_end` falls
  into. On a multiple of 1 / steps the two agree.
* Flux and LTX latents are packed in diffusers' outputs and plain [channel, y, x] and [channel, frame, y, x] here;
  CogVideoX's have frames before channels there.
* diffusers' `clip_skip` leaves layers out for the prompt and not for the negative prompt; here each text says its own.
* AudioLDM 2's pipeline pads the texts of a batch, negative ones too, to one length, which its language model counts;
  here each text is encoded alone. They agree on texts of one length.
* diffusers' step caches decide for a whole batch, `denoiser.cached` for each item; it is compared item by item.
"""


def tasks() -> Iterator[tuple[str, str, Callable[[Path, Path], tuple[float, float]]]]:
    """Families, what they are asked for, and what measures it in a folder, with a folder of tiny models."""
    import cascade_tasks
    import video_tasks
    from picture_tasks import CASES as PICTURED
    from picture_tasks import TASKS, gaps

    for family, task in PICTURED:
        yield family, TASKS[task], partial(gaps, family=family, task=task)
    for family, task in cascade_tasks.FAMILIES:
        yield family, task, partial(cascade_tasks.gaps, family=family, task=task)
    for family in video_tasks.FAMILIES:
        yield family, "video to video", partial(video_tasks.gaps, family=family)


def main() -> None:
    """Run every case and write the page."""
    from comparing import STEPS
    from picture_tasks import STEPS as LONGER
    from picture_tasks import STRENGTH

    rows, others = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(CASES + LED):
            parent = Path(folder) / str(number)
            parent.mkdir()
            latents, made = case.gaps(parent, Path(folder))
            rows.append(f"| {case.family} | `{case.sampler}` | {case.told()} | {latents:.1e} | {made:.1e} |")
            print(rows[-1], flush=True)
        for family, task, gaps in tasks():
            parent = Path(folder) / f"{family} {task}"
            parent.mkdir()
            latents, made = gaps(parent, Path(folder))
            others.append(f"| {family} | {task} | {latents:.1e} | {made:.1e} |")
            print(others[-1], flush=True)
    tables = [HEAD.format(steps=STEPS), "\n".join(rows), "\n", PICTURES.format(steps=LONGER, strength=STRENGTH)]
    (ROOT / "docs" / "parity.md").write_text("".join([*tables, "\n".join(others), "\n", TAIL]))


if __name__ == "__main__":
    main()
