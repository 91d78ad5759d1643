"""Loops that begin late or end early: what they share with whole ones, counted against the closed-form minimum."""

from __future__ import annotations

import numpy as np
import pytest
from small import Lab

from flowgen.errors import UserError

STEPS = 10
HEAD = """\
flowgen: 1
sweep: {SWEEP seed: {range: 2}}
defaults: {model: $digits}
nodes:
  digits: {type: model, from: ZOO/digits}
  text: {type: encoder.text, text: a red three}
  noise: {type: noise, seed: $seed}
"""
WHOLE = HEAD.replace("SWEEP ", "") + (
    "  sampler: {type: scheduler.ddim, start: $noise, prediction: $cond, steps: 10, checkpoint: {at: [0.6]}}\n"
    "  cond: {type: denoiser, x: $sampler.x, context: $text}\n"
    "outputs: [sampler]\n"
)
FIRST = HEAD + (
    "  first: {type: scheduler.ddim, start: $noise, prediction: $early, steps: 10, until: UNTIL}\n"
    "  early: {type: denoiser, x: $first.x, context: $text}\n"
)
BOTH = FIRST + (
    "  sampler: {type: SECOND, start: $noise, init: $first, after: UNTIL, prediction: $late, steps: 10}\n"
    "  late: {type: denoiser, x: $sampler.x, context: $text}\n"
    "outputs: [sampler]\n"
)
ENDED = FIRST.replace("SWEEP ", "").replace("UNTIL", "0.6") + "outputs: [first]\n"
SOLVERS = "solver: {cases: {ddim: scheduler.ddim, euler: {type: scheduler.euler, spacing: leading}}},"
STRENGTHS = HEAD.replace("SWEEP", "strength: [0.5, 0.55, 0.8],") + (
    "  other: {type: noise, seed: 7}\n"
    "  made: {type: scheduler.ddim, start: $other, prediction: $begun, steps: 2}\n"
    "  begun: {type: denoiser, x: $made.x, context: $text}\n"
    "  sampler: {type: scheduler.ddim, start: $noise, init: $made, strength: $strength, prediction: $cond, steps: 10}\n"
    "  cond: {type: denoiser, x: $sampler.x, context: $text}\n"
    "outputs: [sampler]\n"
)


@pytest.fixture
def lab(tmp_path, zoo_folder):
    return Lab(tmp_path, zoo_folder)


def calls(run):
    """Items that the denoiser was called for."""
    return run.tally.calls().get("denoiser", (0, 0))[1]


def test_two_loops_that_hand_over_are_one_loop(lab):
    whole = lab.run(WHOLE).results.sampler.load().values
    text = BOTH.replace("SWEEP ", "").replace("UNTIL", "0.6").replace("SECOND", "scheduler.ddim")
    handed = lab.run(text).results.sampler.load().values
    assert np.abs(whole - handed).max() < 1e-5


def test_a_late_change_of_scheduler_costs_what_comes_late(lab):
    text = BOTH.replace("SWEEP", SOLVERS).replace("UNTIL", "0.6").replace("SECOND", "$solver")
    run = lab.run(text)
    assert calls(run) == 2 * (6 + 4 + 4)
    results = run.results.sampler.load()
    # without noise DDIM and Euler's method are the same in other coordinates (Song et al. 2021, section 4.3)
    alpha = results.sel(solver="euler").values, results.sel(solver="ddim").values
    assert np.abs(alpha[0] - alpha[1]).max() < 0.05 * np.abs(alpha[1]).max()


def test_changes_at_several_steps_share_the_first_loop(lab):
    text = BOTH.replace("SWEEP", "part: [0.2, 0.5, 0.8],").replace("UNTIL", "$part").replace("SECOND", "scheduler.ddim")
    run = lab.run(text)
    assert calls(run) == 2 * (8 + 8 + 5 + 2)


def test_states_that_the_longer_loop_marks_are_stored_on_the_way_that_both_share(lab):
    text = FIRST.replace("SWEEP", "part: [0.7, 1],").replace("UNTIL", "$part, trajectory: {at: [0, 0.5]}")
    run = lab.run(text + "outputs: [first.trajectory]\n")
    assert calls(run) == 2 * STEPS  # the one marks the states after 0 and 4 steps, the other those after 0 and 5


def test_a_loop_left_early_starts_from_the_whole_ones_state(lab):
    assert calls(lab.run(WHOLE)) == 2 * 10
    ended = ENDED.replace("until: 0.6", "until: 0.6, checkpoint: {at: [1]}")
    assert calls(lab.run(ended)) == 0


def test_a_whole_loop_starts_from_the_last_state_of_one_left_early(lab):
    ended = ENDED.replace("until: 0.6", "until: 0.6, checkpoint: {at: [1]}")
    assert calls(lab.run(ended)) == 2 * 6
    run = lab.run(WHOLE)
    assert calls(run) == 2 * 4


def test_strengths_that_begin_at_one_step_are_one_item(lab):
    run = lab.run(STRENGTHS)
    assert calls(run) == 2 + 2 * (5 + 8)
    results = run.results.sampler.load()
    assert np.array_equal(results.sel(strength=0.5).values, results.sel(strength=0.55).values)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("init: $made, ", ""), "none is wired"),
        (("strength: $strength", "after: 0.5"), "init is clean"),
        (("strength: $strength", "after: 0.5, strength: 0.5"), "exclude each other"),
        (("strength: [0.5, 0.55, 0.8]", "strength: [0.05, 0.5]"), "leaves none of 10 steps"),
        (("strength: [0.5, 0.55, 0.8]", "strength: [1.5]"), "strength must be above 0 and at most 1"),
        (("strength: $strength", "strength: $strength, until: 0.1"), "leaves no step to take"),
    ],
)
def test_what_does_not_go_together_is_found_before_running(lab, change, said):
    text = STRENGTHS.replace(*change)
    if "$strength" not in text:
        text = text.replace("strength: [0.5, 0.55, 0.8],", "")
    with pytest.raises(UserError, match=said):
        lab.load(text).check()


def test_a_noisy_latent_cannot_be_decoded(lab):
    text = ENDED.replace("outputs: [first]", "  image: {type: decoder.vae, latent: $first}\noutputs: [image]")
    with pytest.raises(UserError, match="the latent is noisy"):
        lab.load(text).check()
