"""Rows of model calls, as planned: what a run then counts, and the closed-form minimum."""

import pytest
from small import SMALL, Lab

STEPS = 8
INTERVALS = (
    SMALL.replace("guidance: [1, 4]", "low: [0, 0.25, 0.5]\n  guidance: [1, 2, 4]")
    .replace("scale: $guidance", "scale: {during: [$low, 0.75], value: $guidance, else: 1}")
    .replace("steps: 4", f"steps: {STEPS}")
    .replace("outputs: [image, clip, fid]", "outputs: [image]")
)


@pytest.fixture
def lab(tmp_path, zoo_folder):
    return Lab(tmp_path, zoo_folder)


def test_a_plan_counts_rows_before_and_after_sharing(lab):
    plan = lab.plan(INTERVALS)
    scales = {
        tuple(g if low <= i / STEPS < 0.75 else 1 for i in range(STEPS)) for low in (0, 0.25, 0.5) for g in (1, 2, 4)
    }
    cond = sum(len({s[:i] for s in scales}) for i in range(STEPS))
    uncond = sum(len({s[:i] for s in scales if s[i] != 1}) for i in range(STEPS))
    assert (plan.bodies["cond"].planned, plan.bodies["uncond"].planned) == (6 * cond, 6 * uncond)
    assert plan.bodies["cond"].alone == 6 * len(scales) * STEPS
    assert plan.bodies["uncond"].alone == 6 * sum(s[i] != 1 for s in scales for i in range(STEPS))
    run = lab.run(INTERVALS)
    assert run.tally.calls()["denoiser"][1] == 6 * (cond + uncond)
    assert run.tally.calls()["decoder.vae"][1] == plan.nodes["image"].rows.planned == 6 * len(scales)
    work = {name: plan.check.outcomes[name][0].flops for name in ("cond", "uncond")}
    assert plan.nodes["sampler"].flops >= 6 * (cond * work["cond"] + uncond * work["uncond"]) > 0


def test_several_prompts_of_one_noise_share_the_unconditional_first_step(lab):
    plan = lab.plan(SMALL, (", per: [prompt]", ""), ("[image, clip, fid]", "[image]"))
    # 3 noises x 2 prompts x scales 1 and 4, 4 steps: at the first step a noise has two conditional predictions and one
    # unconditional; then each of the four trajectories its own, of which two are guided
    assert (plan.bodies["cond"].planned, plan.bodies["uncond"].planned) == (3 * (2 + 3 * 4), 3 * (1 + 3 * 2))
    assert (plan.bodies["cond"].alone, plan.bodies["uncond"].alone) == (3 * 16, 3 * 8)
    run = lab.run(SMALL, (", per: [prompt]", ""), ("[image, clip, fid]", "[image]"))
    assert run.tally.calls()["denoiser"][1] == 3 * (2 + 12 + 1 + 6)
