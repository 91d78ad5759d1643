"""Trajectories that begin alike are computed once up to where they part; counted against the closed-form minimum."""

from __future__ import annotations

import numpy as np
import pytest
from small import SMALL, Lab

from flowgen.execute.failures import share_of
from flowgen.plan.branches import branches

STEPS = 8
INTERVALS = (
    SMALL.replace("guidance: [1, 4]", "low: [0, 0.25, 0.5]\n  guidance: [1, 2, 4]")
    .replace("scale: $guidance", "scale: {during: [$low, 0.75], value: $guidance, else: 1}")
    .replace("steps: 4", f"steps: {STEPS}")
    .replace("outputs: [image, clip, fid]", "outputs: [image]")
)


def histories():
    """The scale at each step, for every distinct item of one noise."""
    found = set()
    for low in (0, 0.25, 0.5):
        for guidance in (1, 2, 4):
            found.add(tuple(guidance if low <= i / STEPS < 0.75 else 1 for i in range(STEPS)))
    return sorted(found)


def minimum():
    """Denoiser rows of one noise: states are equal while their histories are."""
    rows = 0
    for i in range(STEPS):
        rows += len({h[:i] for h in histories()})  # conditional predictions
        rows += len({h[:i] for h in histories() if h[i] != 1})  # unconditional ones
    return rows


@pytest.fixture
def lab(tmp_path, zoo_folder):
    return Lab(tmp_path, zoo_folder)


@pytest.mark.parametrize("batch", [64, 16, 2])
def test_a_guidance_interval_sweep_costs_the_minimum(lab, batch):
    run = lab.run(INTERVALS, options={"batch": batch})
    assert len(histories()) == 7
    assert run.plan.nodes["sampler"].items == 7 * 6
    assert run.tally.calls()["denoiser"][1] == 6 * minimum()


NOISES, PARTED = 6, 3
"""start noises, and items that begin alike with each of them"""
FIRST, AFTER = STEPS // 2, STEPS - 1 - STEPS // 2
"""steps before the one in which they part, and after it"""
LATE = (
    SMALL.replace("guidance: [1, 4]", "guidance: [2, 4, 6]")
    .replace("scale: $guidance", "scale: {during: [0.5, 1], value: $guidance, else: 1}")
    .replace("steps: 4", f"steps: {STEPS}")
    .replace("outputs: [image, clip, fid]", "outputs: [sampler]")
)


def test_late_guidance_fills_the_batch_before_and_after_it_begins(lab):
    run = lab.run(LATE, options={"batch": NOISES})
    # all noises are one batch up to the step in which the scales part; then all items are as many as scales
    calls = FIRST + 1 + PARTED * AFTER
    assert run.tally.calls()["denoiser"] == (calls, NOISES * (FIRST + 2 + PARTED * 2 * AFTER))


def test_items_that_part_over_their_texts_never_exceed_a_batch(lab):
    run = lab.run(
        LATE,
        ("guidance: [2, 4, 6]", "told: [a red three, a blue seven, a green one]"),
        ("{during: [0.5, 1], value: $guidance, else: 1}", "4"),
        ("{type: encoder.text, text: $prompt}", "{type: select, from: [$empty, $late], index: $switch}"),
        ("$switch", "{during: [0.5, 1], value: 1, else: 0}"),
        ("outputs:", "  late: {type: encoder.text, text: $told}\noutputs:"),
        options={"batch": NOISES},
    )
    # where they part they share what is said without a text: 6 rows and 18, of which a call takes 12
    calls = FIRST + 2 + PARTED * AFTER
    assert run.tally.calls()["denoiser"] == (calls, NOISES * (2 * FIRST + 1 + PARTED + PARTED * 2 * AFTER))


def test_lengths_in_one_sweep_share_no_less(lab):
    run = lab.run(
        SMALL,
        ("prompt: [a red three, a blue seven on a yellow background]", "prompt: [a red three]\n  steps: [3, 5]"),
        ("guidance: [1, 4]", "guidance: [1, 2, 4]"),
        ("steps: 4", "steps: $steps"),
        ("outputs: [image, clip, fid]", "outputs: [image]"),
        seed=0,
    )
    # one noise: in the first step all scales share two predictions; then 1 for scale 1 and 2 for each other one
    assert run.tally.calls()["denoiser"][1] == (2 + 2 * 5) + (2 + 4 * 5)


def test_equal_programs_written_differently_are_one_item(lab):
    constant = SMALL.replace("guidance: [1, 4]", "guidance: [4]")
    lab.run(constant)
    always = ("scale: $guidance", "scale: {during: [0, 1], value: $guidance, else: 9}")
    assert lab.plan(constant, always).nodes["sampler"].compute == 0


def test_a_family_larger_than_the_batch_waits_for_places(lab, tmp_path, zoo_folder):
    wide = lab.run(INTERVALS, options={"batch": 64}).results.load()
    (tmp_path / "narrow").mkdir()
    narrow = Lab(tmp_path / "narrow", zoo_folder).run(INTERVALS, options={"batch": 3}).results.load()
    assert np.abs(wide.image.values - narrow.image.values).max() < 1e-4


def test_sharing_changes_no_bit(lab, tmp_path, zoo_folder):
    strict = INTERVALS.replace("flowgen: 1", "flowgen: 1\nnumerics: strict").replace("seed: {range: 3}", "seed: [5]")
    together = lab.run(strict.replace("[image]", "[image, sampler]")).results.load()
    for n, (low, guidance) in enumerate([(0, 4), (0.25, 4), (0.5, 2)]):
        (tmp_path / str(n)).mkdir()
        alone = Lab(tmp_path / str(n), zoo_folder)
        found = alone.run(strict.replace("[image]", "[image, sampler]"), low=low, guidance=guidance).results.load()
        for name in ("image", "sampler"):
            mine = together[name].sel(low=[low], guidance=[guidance]).values
            assert np.array_equal(found[name].values, mine)


def test_sharing_from_stored_states_changes_no_bit(lab, tmp_path, zoo_folder):
    strict = INTERVALS.replace("flowgen: 1", "flowgen: 1\nnumerics: strict").replace("seed: {range: 3}", "seed: [5]")
    strict = strict.replace("prompt: [a red three, a blue seven on a yellow background]", "prompt: [a red three]")
    strict = strict.replace("[image]", "[sampler]")
    (tmp_path / "straight").mkdir()
    straight = Lab(tmp_path / "straight", zoo_folder).run(strict, options={"batch": 4}).results.load()
    stored = strict.replace(f"steps: {STEPS}", f"steps: {STEPS}, checkpoint: {{step: [2, 5]}}")
    stored = stored.replace("guidance: [1, 2, 4]", "guidance: [4]").replace("[0, 0.25, 0.5]", "[0.25, 0.5]")
    lab.run(stored, options={"batch": 4})
    run = lab.run(strict, options={"batch": 4})
    starts = [start.step if start else 0 for cut in run.plan.parcels if cut.states for start in cut.states.resume]
    assert sorted(starts) == [0, 0, 2, 2, 2]
    assert run.results.load().equals(straight)


def test_stochastic_steps_share_too(lab):
    text = INTERVALS.replace(f"steps: {STEPS}", f"steps: {STEPS}, eta: 1")
    run = lab.run(text)
    assert run.tally.calls()["denoiser"][1] == 6 * minimum()


def test_items_leave_the_nearest_lane_that_still_is_one():
    roots, leaving = branches([0, 1, 2, 3, 4, 5], [-1, 3, 5, 3, 0, -1])
    assert roots == [0, 5]
    assert leaving == {0: [(3, 1), (3, 3), (0, 4)], 1: [(5, 2)]}
    assert branches([0, 2, 4], [-1, 3, 5, 3, 0, -1]) == ([0], {0: [(3, 2), (0, 4)]})
    assert branches([0, 1], []) == ([0, 1], {})
    assert branches([0, 1, 2], [-1, 3, 1], [0, 4, 0]) == ([0, 1], {0: [(1, 2)]})  # beside one that starts later
    assert share_of([-1, 3, 5, 3, 0, -1], [0, 2, 4]) == [-1, 3, 0]


def test_items_beside_one_that_resumes_share_what_they_did_without_it(lab):
    text = INTERVALS.replace("prompt: [a red three, a blue seven on a yellow background]", "prompt: [a red three]")
    text = text.replace("seed: {range: 3}", "seed: [5]").replace("outputs: [image]", "outputs: [sampler]")
    text = text.replace("low: [0, 0.25, 0.5]\n  guidance: [1, 2, 4]", "cut: {rows: {ROWS}}")
    text = text.replace("[$low, 0.75], value: $guidance", "[$low, $high], value: $guidance")
    text = text.replace(f"steps: {STEPS}", "steps: 10, checkpoint: {every: 4}")
    lab.run(text.replace("ROWS", "one: {low: 0.3, high: 1, guidance: 3}"))
    short = "short: {low: 0.3, high: 0.9, guidance: 3}"
    run = lab.run(
        text.replace("ROWS", f"{short}, x: {{low: 0.3, high: 1, guidance: 6}}, b: {{low: 0.1, high: 1, guidance: 6}}")
    )
    # from step 8: 2 rows and 1; x: 3 steps unguided, 7 guided; b leaves it at step 1 and shares that one's conditional
    assert run.tally.calls()["denoiser"][1] == 3 + (3 + 2 * 7) + (1 + 2 * 8)
