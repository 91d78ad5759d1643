"""Rows of model calls, as planned: what a run then counts, and the closed-form minimum."""

import random

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


STORED = (
    INTERVALS.replace("prompt: [a red three, a blue seven on a yellow background]", "prompt: [a red three]")
    .replace("seed: {range: 3}", "seed: [5]")
    .replace("low: [0, 0.25, 0.5]", "low: [LOW]")
    .replace("guidance: [1, 2, 4]", "guidance: [GUIDANCE]")
    .replace("0.75]", "0.9]")
    .replace(f"steps: {STEPS}", f"steps: {STEPS}, checkpoint: {{step: STORED}}")
    .replace("outputs: [image]", "outputs: [sampler]")
)
LOWS, GUIDANCES = (0, 0.125, 0.25, 0.5, 0.75), (1, 2, 4, 6)


def listed(numbers):
    """As a list in YAML holds them."""
    return ", ".join(map(str, numbers))


def histories(lows, guidances):
    """The scale at each step, for every distinct item."""
    return {tuple(g if low <= i / STEPS < 0.9 else 1 for i in range(STEPS)) for low in lows for g in guidances}


def least(items, stored):
    """Rows of the conditional and the unconditional predictions of some items, by the states that are stored."""
    starts = {h: max((k for k in range(1, STEPS) if h[:k] in stored), default=0) for h in items}
    there = [[h for h in items if starts[h] <= i] for i in range(STEPS)]
    guided = [[h for h in found if h[i] != 1] for i, found in enumerate(there)]
    return tuple(sum(len({h[:i] for h in of[i]}) for i in range(STEPS)) for of in (there, guided))


@pytest.mark.parametrize("seed", range(6))
def test_with_stored_states_a_plan_counts_what_a_run_does_and_no_more(lab, seed):
    rng = random.Random(seed)
    lows, guidances = rng.sample(LOWS, rng.randint(1, 2)), rng.sample(GUIDANCES, rng.randint(1, 2))
    steps = sorted(rng.sample(range(1, STEPS), rng.randint(1, 4)))
    text = STORED.replace("STORED", str(steps))
    lab.run(text.replace("LOW", listed(lows)).replace("GUIDANCE", listed(guidances)), options={"batch": 4})
    text = text.replace("LOW", listed(LOWS)).replace("GUIDANCE", listed(GUIDANCES))
    run = lab.run(text, options={"batch": 4})
    done = histories(lows, guidances)
    rows = least(histories(LOWS, GUIDANCES) - done, {h[:k] for h in done for k in steps})
    assert (run.plan.bodies["cond"].planned, run.plan.bodies["uncond"].planned) == rows
    assert run.tally.calls()["denoiser"][1] == sum(rows)


def test_items_that_part_where_they_resume_have_that_step_s_rows_in_common(lab):
    text = STORED.replace("LOW", "0.5").replace("STORED", "[4]")
    lab.run(text.replace("GUIDANCE", "2"))
    plan = lab.plan(text.replace("GUIDANCE", "2, 4, 6"))
    # step 4 is shared; then the guidance of two items is on for 3 steps
    assert (plan.bodies["cond"].planned, plan.bodies["uncond"].planned) == (1 + 2 * 3, 1 + 2 * 3)
    assert (plan.bodies["cond"].alone, plan.bodies["uncond"].alone) == (2 * 4, 2 * 4)
    assert plan.nodes["sampler"].steps == 2 * 4
    work = {name: plan.check.outcomes[name][0].flops for name in ("cond", "uncond")}
    whole = plan.check.outcomes["sampler"][0].flops * 8
    assert plan.nodes["sampler"].flops == whole - work["cond"] - work["uncond"]
    assert lab.run(text.replace("GUIDANCE", "2, 4, 6")).tally.calls()["denoiser"][1] == 14
