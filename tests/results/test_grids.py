"""Sheets of pictures: the right picture at the right place, in the right colours, under safe names."""

import shutil

import numpy as np
import pytest
import torch
from matplotlib import font_manager
from PIL import Image as Picture
from results_example import LABELS, Memory, axis, example

from flowgen.results import fonts, grids
from flowgen.results.dataset import write_dataset
from flowgen.results.grids import write_grids
from flowgen.results.sheet import EMPTY, PAPER, pixels, tile, tile_size
from flowgen.results.views import View, views
from flowgen.values import Image, Latent


def sheets(folder, batch, **axes):
    memory, made = Memory(), {name: axis(name, labels) for name, labels in axes.items()}
    dataset = write_dataset(folder, made, [memory.column("image", made, [batch])], memory, {})
    return write_grids(folder, dataset).get("image", [])


def plain(count, colour=(0.0, 0.0, 0.0), size=8):
    return torch.tensor(colour).reshape(1, 3, 1, 1).repeat(count, 1, size, size)


def test_views_of_the_example_show_adherence_effect_and_diversity():
    assert views(LABELS) == [
        View("colour", "digit", ("seed",), ("guidance",)),
        View("guidance", "digit", ("colour", "seed")),
        View("seed", "digit", ("colour",), ("guidance",)),
    ]


def test_views_of_other_sweeps():
    prompts = ["a picture of a cat on a mat", "another one"]
    assert views({}) == [View(None, None)]
    assert views({"seed": [0, 1]}) == [View(None, "seed")]
    assert views({"steps": [10], "seed": [0, 1], "prompt": prompts}) == [View("prompt", "seed", ("steps",))]
    assert views({"seed": range(9), "steps": [5, 10]}) == [View("seed", "steps")]
    assert views({"seed": range(3), "other_seed": range(2)}) == [View("other_seed", "seed")]


def test_the_example_gives_seven_files(tmp_path):
    axes, columns, memory = example()
    paths = write_grids(tmp_path, write_dataset(tmp_path, axes, columns, memory, {}))["image"]
    assert [path.name for path in paths[:4]] == [
        "image guidance=1 seed=0.png",
        "image guidance=2 seed=0.png",
        "image guidance=4 seed=0.png",
        "image colour=red seed=0.png",
    ]
    assert len(paths) == 7 and all(path.parent == tmp_path / "images" for path in paths)
    for path in paths:
        with Picture.open(path) as image:
            image.load()
            assert image.mode == "RGB" and "digit" in image.text["Description"]


def colours_of(path, rows, columns, side):
    """The colour at the middle of each tile, found from the sheet's right and lower margins of 20 pixels."""
    with Picture.open(path) as image:
        array = np.asarray(image)
    right, bottom = array.shape[1] - 20, array.shape[0] - 20
    centre = [
        [array[bottom - (rows - r) * (side + 4) + 4 + side // 2, right - (columns - c) * (side + 4) + 4 + side // 2]]
        for r in range(rows)
        for c in range(columns)
    ]
    return np.array(centre).reshape(rows, columns, 3)


def test_every_tile_has_its_colour(tmp_path):
    random = np.random.default_rng(0)
    values = random.uniform(-1.2, 1.2, (2, 9, 3)).astype(np.float32)
    data = torch.tensor(values).reshape(18, 3, 1, 1).repeat(1, 1, 32, 32)
    (path,) = sheets(tmp_path, Image(data), colour=["red", "blue"], digit=[f"digit {n}" for n in range(9)])
    wanted = np.rint((np.clip(values.astype(np.float64), -1, 1) + 1) / 2 * 255)
    np.testing.assert_array_equal(colours_of(path, 2, 9, 64), wanted)


def test_the_range_says_what_is_white(tmp_path):
    batch = Image(torch.cat([plain(1, (0.0, 0.5, 1.0)), plain(1, (2.0, -1.0, 0.25))]), (0.0, 1.0))
    (path,) = sheets(tmp_path, batch, a=["one", "two"], steps=[10])
    with Picture.open(path) as image:
        found = {colour for _, colour in image.getcolors(100_000)}
    assert {(0, 128, 255), (255, 0, 64)} <= found


def test_pixels_round_and_clip():
    picture = np.array([-2, -1, 0, 0.999, 1, 5]).reshape(1, 1, 6)
    assert pixels(picture, (-1.0, 1.0))[0, :, 0].tolist() == [0, 0, 128, 255, 255, 255]
    assert pixels(np.zeros((4, 2, 3)), (0.0, 1.0)).shape == (2, 3, 3)


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((32, 32), (64, 64)),
        ((28, 28), (84, 84)),
        ((1, 2), (64, 128)),
        ((100, 80), (100, 80)),
        ((1024, 512), (256, 128)),
    ],
)
def test_small_pictures_grow_and_large_ones_shrink(size, wanted):
    assert tile_size(*size, 3) == wanted


def test_a_picture_that_is_no_number_is_a_cross():
    broken = np.full((3, 32, 32), np.nan)
    colours = {colour for _, colour in tile(broken, (-1, 1), 64, 64).getcolors(10_000)}
    assert tuple(bytes.fromhex(EMPTY[1:])) in colours and len(colours) > 1
    assert tile(np.zeros((3, 32, 32)), (-1, 1), 64, 64).getcolors() == [(64 * 64, (128, 128, 128))]


HOSTILE = [
    "../../etc/passwd",
    "a/b\\c",
    "q\"uo'te",
    "<script>alert(1)</script>",
    "x" * 3000,
    "日本 ünï",
    "CON",
    "a\nb\0c",
    "",
]


def test_hostile_labels_give_safe_names(tmp_path):
    batch = Image(plain(len(HOSTILE) * 4))
    paths = sheets(tmp_path, batch, m=["p", "q"], n=["r", "s"], label=[HOSTILE[0], *HOSTILE[1:]])
    paths += sheets(tmp_path, batch, aa=["p", "q", *map(str, range(7))], label=["..", "a/b"], z=["A", "a"])
    for path in paths:
        assert path.parent == tmp_path / "images" and path.exists()
        assert not set(path.name) & set('/\\:*?"<>|\n\0') and len(path.name.encode()) < 200
    assert len({path.name.casefold() for path in paths[-2:]}) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images", "results.zarr"]


def test_too_many_are_left_out_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(grids, "FILES", 3)
    monkeypatch.setattr(grids, "SIDE", 2)
    paths = sheets(tmp_path, Image(plain(3 * 2 * 5, size=4)), a=["x", "y", "z"], b=["u", "v"], steps=range(5))
    assert len(paths) == 3
    with Picture.open(paths[0]) as image:
        said = image.text["Description"]
    assert "a: the first 2 of 3 are shown" in said and "3 more sheets of 'image' are left out" in said


def test_one_axis_is_wrapped_and_none_is_one_picture(tmp_path, monkeypatch):
    (path,) = sheets(tmp_path, Image(plain(20, (1.0, -1.0, -1.0))), frame=range(20))
    with Picture.open(path) as image:
        assert image.size[0] == 40 + 8 * 68 - 4
        pixels_of = np.asarray(image)
    red = (pixels_of == (255, 0, 0)).all(axis=-1).sum()
    assert red == 20 * 64 * 64
    monkeypatch.setattr(grids, "LOADED", 0)  # read one by one
    (again,) = sheets(tmp_path, Image(plain(20, (1.0, -1.0, -1.0))), frame=range(20))
    with Picture.open(again) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels_of)
    (path,) = sheets(tmp_path, Image(plain(1)))
    assert path.name == "image.png"
    assert PAPER.startswith("#f")


def test_letters_are_written_with_a_font_that_has_them_or_by_their_numbers(tmp_path, monkeypatch):
    fonts.other.cache_clear()
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    label = "größe \U00012000 \u65e5"  # cuneiform, and a letter of Japanese
    assert fonts.legible(label) == r"größe \U00012000 \u65e5"
    (path,) = sheets(tmp_path, Image(plain(4)), prompt=["a plain one", label], n=[0, 1])
    shutil.rmtree(path.parent)
    there = str(fonts.FOLDER / "STIXGeneral.ttf")  # of matplotlib: has U+1D8A, which DejaVu Sans lacks
    assert ord("\u1d8a") in fonts.letters(there) - fonts.letters(str(fonts.FOLDER / "DejaVuSans.ttf"))
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(tmp_path / "none.ttf"), there])
    fonts.other.cache_clear()
    assert fonts.legible("a \u1d8a") == "a \u1d8a"
    assert fonts.font("a \u1d8a").path == there
    fonts.other.cache_clear()


def test_latents_are_no_pictures(tmp_path):
    assert sheets(tmp_path, Latent(torch.zeros(2, 3, 8, 8), "s"), seed=[0, 1]) == []
    assert not (tmp_path / "images").exists()


def test_a_trajectory_runs_from_left_to_right():
    steps, prompts = list(range(0, 50, 10)), ["a very long prompt indeed"] * 2 + ["short"]
    for labels in (
        {"prompt": prompts, "step": steps, "seed": [0, 1, 2]},
        {"step": steps, "seed": list(range(9))},
        {"step": steps, "guidance": [1.0, 2.0], "steps": [10, 20]},
    ):
        first = views(labels)[0]
        assert first.columns == "step" and first.rows in labels and first.rows != "step"
    assert views({"step": steps})[0].columns == "step"
