"""Warnings of reductions that pool too few points, or points that share their noise."""

from small import SMALL, Lab


def said(lab, *changes):
    return [warning.split(": ", 1)[1] for warning in lab.load(SMALL, *changes).check().warnings]


def test_too_few_points(tmp_path, zoo_folder):
    lab = Lab(tmp_path, zoo_folder)
    assert said(lab) == ["'fid' pools 6 points, and metric.fid needs 65 for a result that means something"]
    assert said(lab, ("range: 3", "range: 33")) == []  # 66 points of 64 features


def test_points_that_share_noise(tmp_path, zoo_folder):
    found = said(Lab(tmp_path, zoo_folder), ("range: 3", "range: 33"), (", per: [prompt]", ""))
    assert found == [
        "the 66 points that 'fid' pools share 33 draws of 'noise'\n  draw anew along them: per: [prompt] on 'noise'"
    ]


def test_a_mean_may_share_noise(tmp_path, zoo_folder):
    mean = ("outputs: [image, clip, fid]", "  m: {type: mean, of: $clip, over: [prompt, seed]}\noutputs: [m]")
    changes = (mean, (", per: [prompt]", ""), ("range: 3", "range: 33"))
    assert not [warning for warning in said(Lab(tmp_path, zoo_folder), *changes) if "'m'" in warning]


ROWS = (
    "prompt: [a red three, a blue seven on a yellow background]",
    "row: {rows: {one: {prompt: a red three, n: 1}, two: {prompt: a red three, n: 2}}}",
)
OVER = ("over: [prompt, seed]", "over: [row, seed]")


def test_points_that_are_equal_in_what_per_names_share_noise(tmp_path, zoo_folder):
    changes = (ROWS, OVER, ("range: 3", "range: 33"), ("text: $prompt}\n  empty", 'text: "${prompt} ${n}"}\n  empty'))
    lab = Lab(tmp_path, zoo_folder)
    found = said(lab, *changes)
    assert found == [
        "the 66 points that 'fid' pools share 33 draws of 'noise'\n  draw anew along them: per: [row] on 'noise'; "
        "'row' counts with all that it sets, and by its own name one input alone: prompt"
    ]
    assert said(lab, *changes, ("per: [prompt]", "per: [row]")) == []


def test_equal_rows_share_noise(tmp_path, zoo_folder):
    rows = (ROWS[0], "row: {rows: [{prompt: a red three}, {prompt: a red three}]}")
    changes = (rows, OVER, ("range: 3", "range: 33"), ("per: [prompt]", "per: [row, seed]"))
    assert said(Lab(tmp_path, zoo_folder), *changes) == [
        "the 66 points that 'fid' pools share 33 draws of 'noise'\n  "
        "points that are equal share a draw: sweep a seed of 'noise' too"
    ]
