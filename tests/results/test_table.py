"""Scalars in tables and curves agree with numpy."""

import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from results_example import Memory, axis, example
from rich.console import Console

from flowgen.results.curves import apart, curves, statistics
from flowgen.results.dataset import write_dataset
from flowgen.results.table import scalar_summary, scalar_table
from flowgen.values import Image, Score


@pytest.fixture
def data(tmp_path):
    axes, columns, memory = example(4)
    return write_dataset(tmp_path, axes, columns, memory, {})


def scores(folder, **outputs):
    """A dataset of scores, each an array and its axes."""
    memory, axes, columns = Memory(), {}, []
    for name, (values, labels) in outputs.items():
        mine = {key: axis(key, found) for key, found in labels.items()}
        axes |= mine
        flat = torch.tensor(np.asarray(values, dtype=np.float64).ravel())
        columns.append(memory.column(name, mine, [Score(flat, torch.ones(len(flat), dtype=torch.long))]))
    return write_dataset(folder, axes, columns, memory, {})


def text(table, width=200):
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def test_the_example_has_a_row_per_guidance(data):
    headers, rows = scalar_summary(data)
    assert headers == ["guidance", "clip, mean over colour, digit, seed", "n", "fid", "n"]
    means = data["clip"].values.astype(np.float64).transpose(2, 0, 1, 3).reshape(3, -1).mean(axis=1)
    assert [row[0] for row in rows] == [1, 2, 4]
    np.testing.assert_allclose([row[1] for row in rows], means, rtol=1e-12)
    assert [row[2:] for row in rows] == [[320, 31.41592, 320], [320, 12.5, 320], [320, 18.25, 320]]
    shown = text(scalar_table(data))
    assert "31.42" in shown and "12.50" in shown and "mean over colour, digit, seed" in shown
    assert f"{means[0]:.4g}" in shown


def test_without_axes_there_is_one_row(tmp_path):
    assert scalar_summary(scores(tmp_path, loss=(2.5, {}), fid=(1e-7, {}))) == (
        ["fid", "n", "loss", "n"],
        [[1e-7, 1, 2.5, 1]],
    )


def test_another_output_or_axis_with_the_name_of_a_count_is_none(tmp_path):
    found = scores(tmp_path, a=([1.0, 2.0], {"m": ["p", "q"]}), a_count=([30.0, 40.0], {"m": ["p", "q"]}))
    assert scalar_summary(found)[1] == [["p", 1.0, 1, 30.0, 1], ["q", 2.0, 1, 40.0, 1]]
    found = scores(tmp_path, a=([1.0, 2.0], {"a_count": [30, 40]}))
    assert scalar_summary(found)[1] == [[30, 1.0, 1], [40, 2.0, 1]]


def test_missing_values_are_left_out_and_n_says_so(tmp_path):
    values = np.array([[1.0, np.nan, 3.0], [np.nan] * 3])
    found = scores(tmp_path, a=(values, {"m": ["p", "q"], "k": [1, 2, 3]}), b=([0.0, 1.0], {"m": ["p", "q"]}))
    _, rows = scalar_summary(found)
    assert rows[0][:3] == ["p", 2.0, 2] and np.isnan(rows[1][1]) and rows[1][2] == 0


def test_rows_are_the_union_of_the_smallest_axes(tmp_path):
    found = scores(tmp_path, a=([1, 2], {"m": ["p", "q"]}), b=([3, 4, 5], {"k": [1, 2, 3]}), c=(9, {}))
    headers, rows = scalar_summary(found)
    assert headers == ["m", "k", "a", "n", "b", "n", "c", "n"]
    assert len(rows) == 6 and rows[5] == ["q", 3, 2.0, 1, 5.0, 1, 9.0, 1]


def test_many_rows_are_cut_and_seeds_averaged(tmp_path):
    values = np.arange(60.0)
    shown = text(scalar_table(scores(tmp_path, a=(values, {"k": range(60)}))))
    assert "first 40 of 60" in shown and "39.00" in shown and "40.00" not in shown
    grid = values.reshape(6, 10)
    headers, rows = scalar_summary(scores(tmp_path, a=(grid, {"k": range(6), "seed": range(10)})))
    assert headers[1] == "a, mean over seed" and [row[1] for row in rows] == grid.mean(axis=1).tolist()


def test_no_scalars_no_table(tmp_path):
    memory = Memory()
    found = write_dataset(tmp_path, {}, [memory.column("image", {}, [Image(torch.zeros(1, 3, 4, 4))])], memory, {})
    assert scalar_table(found) is None and scalar_summary(found) == ([], []) and curves(found) == []


def test_labels_are_no_markup(tmp_path):
    assert "[red]x[/red]" in text(scalar_table(scores(tmp_path, a=([1, 2], {"m": ["[red]x[/red]", "b"]}))))


def test_curves_are_well_formed_and_the_same_every_time(data):
    found = curves(data)
    assert [title for title, _ in found] == ["clip by guidance", "fid by guidance"]
    assert curves(data) == found
    for _, drawing in found:
        words = [e.text for e in ElementTree.fromstring(drawing).iter("{http://www.w3.org/2000/svg}text")]
        assert "guidance" in words
    assert "mean over colour, digit, seed; ± standard error" in found[0][1] and "standard error" not in found[1][1]


def test_the_band_is_the_standard_error(data):
    mean, error = statistics(data["clip"], ["guidance"])
    values = data["clip"].values.astype(np.float64).transpose(2, 0, 1, 3).reshape(3, -1)
    np.testing.assert_allclose(mean[:, 0], values.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(error[:, 0], values.std(axis=1, ddof=1) / np.sqrt(320), rtol=1e-12)


def test_curves_of_texts_and_hostile_labels(tmp_path):
    labels = ["$x_1$ <script>", "_b\0", "$\\frac{", "日本"]
    values = np.random.default_rng(0).random((4, 6))
    found = curves(scores(tmp_path, a=(values, {"m": labels, "steps": [1, 5, 10, 20, 50, 100]})))
    assert [title for title, _ in found] == ["a by steps"]
    for _, drawing in found:
        ElementTree.fromstring(drawing)
        assert "<script" not in drawing
    assert "m = $x_1$ &lt;script&gt;" in found[0][1]
    (only,) = curves(scores(tmp_path, a=(values, {"m": labels, "seed": range(6)}), b=(values[:, 0], {"m": labels})))[:1]
    assert only[0] == "a by m" and "&lt;script" in only[1] and "<script" not in only[1]


def test_a_line_without_points_is_no_entry(tmp_path):
    values = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, np.nan]])
    ((_, drawing),) = curves(scores(tmp_path, a=(values, {"k": [1, 2, 3], "m": ["p", "q"]})))
    assert "m = p" in drawing and "m = q" not in drawing


def test_a_number_that_there_is_not_reads_failed(tmp_path):
    values = np.array([[1.0, np.nan], [np.nan, np.nan]])
    found = scores(tmp_path, a=(values, {"k": [1, 2], "seed": [0, 1]}), b=(values[:, 1], {"k": [1, 2]}))
    headers, rows = scalar_summary(found)
    assert headers == ["k", "a, mean over seed", "n", "b", "n"]
    assert rows[0][1:3] == [1.0, 1] and rows[1][2] == 0 and np.isnan(rows[1][1])
    shown = text(scalar_table(found))
    assert shown.count("failed") == 3 and "nan" not in shown
    for _, drawing in curves(found):
        ElementTree.fromstring(drawing)


def test_many_rows_are_bounded_and_counted(tmp_path):
    found = scores(tmp_path, a=(np.arange(300.0), {"prompt": [f"p{n}" for n in range(300)]}))
    assert "the first 40 of 300 rows; all are in results.zarr" in " ".join(text(scalar_table(found)).split())
    assert len(scalar_summary(found, 7)[1]) == 7 and len(scalar_summary(found)[1]) == 300


def test_each_score_has_its_own_axes(tmp_path):
    found = scores(
        tmp_path,
        a=(np.arange(6.0).reshape(2, 3), {"m": ["x", "y"], "k": [1, 2, 3]}),
        b=([10.0, 20.0], {"m": ["x", "y"]}),
        c=(5.0, {}),
    )
    headers, rows = scalar_summary(found)
    assert headers == ["m", "a, mean over k", "n", "b", "n", "c", "n"]
    assert [row[1::2] for row in rows] == [[1.0, 10.0, 5.0], [4.0, 20.0, 5.0]]


def test_ticks_leave_each_other_room():
    assert apart(np.array([1.0, 1.3333, 4.0, 7.5]), ["1", "1.33333", "4", "7.5"], False) == [0, 2, 3]
    assert apart(np.array([3.0, 1.0, 2.0]), ["3", "1", "2"], False) == [1, 2, 0]
    assert apart(np.array([1.0, 10.0, 100.0]), ["1", "10", "100"], True) == [0, 1, 2]
    assert apart(np.array([5.0]), ["5"], False) == [0]


def test_numbers_far_apart_stand_by_their_logarithms(tmp_path):
    labels, n = {"m": [1, 2, 3, 4]}, np.arange(4.0)
    found = scores(tmp_path, a=(10**-n, labels), b=(10 - n, labels))
    falling, plain = (drawing for _, drawing in curves(found))
    for drawing in (falling, plain):
        heights = [float(y) for y in re.findall(r"<use [^>]* y=\"([\d.]+)\" style=\"fill: #3b7dd8", drawing)]
        assert len(heights) == 4
        steps = np.diff(heights)
        assert np.allclose(steps, steps[0], rtol=1e-3) and steps[0] > 0  # equal ratios, equal differences
    assert ">0.01<" in falling and ">0.01<" not in plain
    assert "mathdefault" not in falling
