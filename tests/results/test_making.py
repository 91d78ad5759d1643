"""What outputs make of results: files for each point, tables, sheets, animations and curves, against the results."""

import csv
import json
import os
import stat
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image as Picture
from results_example import Memory, axis
from safetensors.numpy import load_file
from small import SMALL, Lab

from flowgen import Graph
from flowgen.cli import flowgen as command
from flowgen.errors import UserError
from flowgen.language.expressions import Ref
from flowgen.language.outputs import Curve, Making, Output
from flowgen.language.patterns import read_pattern
from flowgen.results.animations import write_animation
from flowgen.results.dataset import write_dataset
from flowgen.results.saves import write_saves
from flowgen.results.versus import joined, write_curve
from flowgen.values import Conditioning, Image, Latent, Score

MAPPING = """outputs:
  image: {from: $image, save: "png/{prompt}/{guidance:.1f} {seed:02}.png"}
  again: {from: $image, save: "{prompt}_{guidance}_{seed}.webp"}
  sheet: {from: $image, grid: [guidance, seed]}
  walk: {from: $image, save: "walk {prompt} {seed}.gif", time: guidance, fps: 5}
  latent: {from: $sampler.sample, save: "npy/{prompt}{guidance}{seed}.npy"}
  scores: {from: $clip, save: "clip {prompt}.csv"}
  curve: {x: $clip_mean, y: $fid}
"""
MEAN = "  clip_mean: {type: mean, of: $clip, over: [prompt, seed]}\n"


@pytest.fixture(scope="module")
def lab(tmp_path_factory, zoo_folder):
    return Lab(tmp_path_factory.mktemp("lab"), zoo_folder)


@pytest.fixture(scope="module")
def run(lab):
    return lab.run(SMALL, ("outputs: [image, clip, fid]\n", MEAN + MAPPING))


def shown(picture):
    """A picture [C, H, W] of range -1..1 as 8-bit [H, W, C], by the definition."""
    return np.rint((np.clip(picture.astype(np.float64), -1, 1) + 1) * 127.5).astype(np.uint8).transpose(1, 2, 0)


def test_a_file_for_each_point(run):
    image = run.results.image
    for prompt, guidance, seed in np.ndindex(2, 2, 3):
        label = ["a red three", "a blue seven on a yellow background"][prompt]
        path = run.folder / "png" / label / f"{[1, 4][guidance]:.1f} {seed:02}.png"
        with Picture.open(path) as found:
            np.testing.assert_array_equal(np.asarray(found), shown(image.values[prompt, guidance, seed]))
            assert f"prompt = {label}" in found.text["Description"]
    assert len(list((run.folder / "png").rglob("*"))) == 2 + 12
    assert len(list(run.folder.glob("*.webp"))) == 12
    latents = {path.name: np.load(path) for path in (run.folder / "npy").iterdir()}
    np.testing.assert_array_equal(latents["a red three41.npy"], run.results.latent.values[0, 1, 1])


def test_a_node_stands_once_in_the_results(run):
    assert {"image", "latent", "scores", "clip_mean", "fid"} <= set(run.results)
    assert not {"again", "sheet", "walk"} & set(run.results)


def test_the_sheets_that_were_asked_for_replace_the_usual_ones(run):
    found = sorted(path.name for path in (run.folder / "images").iterdir())
    assert found == ["sheet prompt=a blue seven on a yellow background.png", "sheet prompt=a red three.png"]
    with Picture.open(run.folder / "images" / found[1]) as sheet:
        assert sheet.text["Description"].startswith("sheet: guidance × seed at prompt = a red three")


def test_an_animation_has_a_frame_for_each_point_along_its_axis(run):
    with Picture.open(run.folder / "walk a red three 2.gif") as found:
        assert (found.n_frames, found.info["duration"], found.size) == (2, 200, (256, 256))
    assert len(list(run.folder.glob("*.gif"))) == 6


def test_a_table_has_a_row_for_each_point_that_its_name_lacks(run):
    with (run.folder / "clip a red three.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["guidance"], r["seed"]) for r in rows] == [(g, s) for g in "14" for s in "012"]
    np.testing.assert_array_equal(
        np.array([r["scores"] for r in rows], dtype=np.float32), run.results.scores.values[0].ravel()
    )
    assert {r["n"] for r in rows} == {"1"}


def test_a_curve_is_drawn_and_written(run):
    with (run.folder / "curves" / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["guidance"] for r in rows] == ["1", "4"]
    np.testing.assert_array_equal([float(r["fid"]) for r in rows], run.results.fid.values)
    np.testing.assert_array_equal([float(r["clip_mean"]) for r in rows], run.results.clip_mean.values)
    ElementTree.parse(run.folder / "curves" / "curve.svg")
    report = (run.folder / "report.html").read_text()
    assert "curve: fid by clip_mean" in report and 'href="curves/curve.csv"' in report


def test_files_are_named_and_nothing_half_written_is_left(run, lab):
    files = json.loads((run.folder / "provenance.json").read_text())["files"]
    assert {name: len(paths) for name, paths in files.items()} == {
        "image": 12, "again": 12, "sheet": 2, "walk": 6, "latent": 12, "scores": 2, "curve": 2,
    }  # fmt: skip
    assert all((run.folder / path).is_file() for paths in files.values() for path in paths)
    assert not [path for path in run.folder.rglob(".*") if ".zarr" not in str(path)]
    said = CliRunner().invoke(command, ["show", str(run.folder)], catch_exceptions=False).output
    assert "walk: 6 files" in said and "walk a red three 2.gif" in said and "curves/curve.svg" in said
    assert said.strip().splitlines()[-1] == str(run.folder)


def test_outputs_are_no_part_of_a_key(run, lab):
    plan = lab.plan(SMALL)
    assert {name for name, node in plan.nodes.items() if node.compute} == set()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('{from: $image, save: "{prompt}{guidance}{sed}.png"}', "'save' names no axis of 'o': 'sed'\n  did you mean"),
        ('{from: $image, save: "{prompt}/{seed}.png"}', "varies along 'guidance', which is missing in 'save'"),
        ("{from: $fid, save: x.png}", "'.png' is no kind of file for '$fid'\n  Score is saved as .txt, .csv, .npy"),
        ("{from: $image, save: x.gif}", "'.gif' is no kind of file for '$image'"),
        ("{from: $image, save: x}", "'x' is no kind of file"),
        ("{from: $fid, save: x.gif, time: guidance}", "'$fid' gives Score; an animation is made of images"),
        ("{from: $image, save: x.png, time: seed}", "'.png' is no kind of animation\n  animations: .gif"),
        ("{from: $image, save: '{seed}.gif', time: seed}", "'seed' runs within the animation"),
        ("{from: $image, save: x.gif, time: frame}", "'time' names no axis of 'o': 'frame'"),
        ("{from: $image, save: '{seed}{prompt}.gif', time: sed}", "did you mean 'seed'?"),
        ("{from: $image, save: '{prompt}{guidance}.mp4', time: seed}", "mp4 needs ffmpeg, which isn't found\n  pip"),
        (
            "{from: $image, save: '{prompt}{seed}.gif', time: guidance, fps: 60}",
            "a gif can't show 60 frames per second, only up to 50\n  save it as webp",
        ),
        ("{from: $image, grid: [prompt, sede]}", "'grid' names no axis of 'o': 'sede'\n  did you mean 'seed'?"),
        ("{from: $fid, grid: [guidance, seed]}", "'grid' names no axis of 'o': 'seed'"),
        ("{x: $image, y: $fid}", "'$image' gives Image; a curve is drawn from scores"),
        ("{x: $clip, y: $fid, along: digit}", "'along' names no axis of 'o': 'digit'"),
        ('{from: $image, save: "{seed}{prompt}{guidance}{seed:099}{seed:099}{seed:09}.png"}', "a file's name would"),
    ],
)
def test_mistakes_are_found_at_check_time(lab, monkeypatch, entry, message):
    monkeypatch.setattr("flowgen.graph.outputs.can_encode", lambda: False)
    experiment = lab.load(SMALL, ("outputs: [image, clip, fid]", f"outputs:\n  o: {entry}"), name="wrong.yaml")
    with pytest.raises(UserError) as caught:
        _ = experiment.graph
    assert message in str(caught.value) and caught.value.at.line == 24


@pytest.mark.parametrize(
    ("old", "new", "pattern", "message"),
    [
        ("[a red three, a blue seven on a yellow background]", '["a/b", "a:b"]', "{prompt}{guidance}{seed}.png",
         "'o' at prompt=a/b, guidance=1, seed=0 and 'o' at prompt=a:b, guidance=1, seed=0 would both write"),
        ("[a red three, a blue seven on a yellow background]", "[A, a]", "{prompt}{guidance}{seed}.png", "both write"),
        ("guidance: [1, 4]", "guidance: [1, 11, 0.1]", "{prompt}{guidance}{seed}.png", ""),
        ("{range: 3}", "[1, 11]", "{prompt}{guidance}{seed}{seed}.png", ""),
        ("[1, 4]", "[1, 11]", "{prompt} {guidance:.0e}{seed}.png", ""),
        ("[1, 4]", "[1, 1.1]", "{prompt} {guidance:.0f}{seed}.png", "would both write"),
        ("defaults: {model: $digits}\nnodes:\n", "  w: {rows: [{h: 1}, {h: 2}]}\ndefaults: {model: $digits}\nnodes:\n"
         "  other: {type: noise, seed: $h}\n", "{prompt}{guidance}{seed}.png", ""),
    ],
)  # fmt: skip
def test_each_point_has_a_file_of_its_own(lab, old, new, pattern, message):
    entry = f'outputs:\n  o: {{from: $image, save: "{pattern}"}}'
    experiment = lab.load(SMALL, (old, new), ("outputs: [image, clip, fid]", entry), name="own.yaml")
    if not message:
        assert experiment.graph
        return
    with pytest.raises(UserError) as caught:
        _ = experiment.graph
    assert message in str(caught.value) and caught.value.at is not None


def test_a_name_is_a_file_or_a_folder(lab):
    entries = 'outputs:\n  a: {from: $image, save: "{seed}{guidance}{prompt}/x.png"}\n'
    entries += '  b: {from: $clip, save: "{seed}{guidance}{prompt}/x.png/y.csv"}\n'
    experiment = lab.load(SMALL, ("outputs: [image, clip, fid]\n", entries), name="both.yaml")
    with pytest.raises(UserError, match="would be a file and a folder"):
        _ = experiment.graph


def scored(folder, failed=(), **outputs):
    """A dataset and columns of scores; some points have no result."""
    memory, axes, columns = Memory(), {}, {}
    for name, (values, labels) in outputs.items():
        mine = {key: axis(key, found) for key, found in labels.items()}
        axes |= mine
        flat = torch.tensor(np.asarray(values, dtype=np.float64).ravel())
        column = memory.column(name, mine, [Score(flat, torch.full((len(flat),), 7), "a score")])
        for at in failed:
            column.keys[at] = b""
        columns[name] = column
    return write_dataset(folder, axes, list(columns.values()), memory, {}), columns, axes


def save(folder, dataset, column, axes, pattern, **options):
    output = Output("o", Ref("n"), None, Making(read_pattern(pattern), **options))
    return write_saves(folder, output, column, dataset, {name: found.labels for name, found in axes.items()})


def test_points_without_a_result(tmp_path):
    values = np.arange(6.0).reshape(2, 3) / 3
    dataset, columns, axes = scored(tmp_path, [(0, 1)], s=(values, {"a": ["x", "y"], "n": [1, 2, 3]}))
    paths = save(tmp_path, dataset, columns["s"], axes, "t/{a}{n}.txt")
    assert sorted(path.name for path in paths) == ["x1.txt", "x3.txt", "y1.txt", "y2.txt", "y3.txt"]
    assert float((tmp_path / "t" / "y2.txt").read_text()) == values[1, 1]
    (table,) = save(tmp_path, dataset, columns["s"], axes, "all.csv")
    assert table.read_text().splitlines()[:3] == ["a,n,s,n", "x,1,0.0,7", "x,2,failed,0"]


def test_a_table_has_the_count_of_its_own_score(tmp_path):
    labels = {"s_count": [10, 20]}
    dataset, columns, axes = scored(
        tmp_path, s=([0.5, 1.5], labels), t_count=([3.0, 4.0], labels), t=([5.0, 6.0], labels)
    )
    for name, rows in (("s", ["10,0.5,7", "20,1.5,7"]), ("t", ["10,5.0,7", "20,6.0,7"])):
        (table,) = save(tmp_path, dataset, columns[name], axes, f"{name}.csv")
        assert table.read_text().splitlines() == [f"s_count,{name},n", *rows]


def test_tensors_of_a_record_with_their_names(tmp_path):
    memory, a = Memory(), {"a": axis("a", [1, 2])}
    data = torch.rand(2, 4, 3, 3)
    column = memory.column("z", a, [Latent(data, "sd")])
    dataset = write_dataset(tmp_path, a, [column], memory, {})
    first, second = save(tmp_path, dataset, column, a, "{a}.safetensors")
    assert first.name == "1.safetensors" and list(load_file(first)) == ["data"]
    np.testing.assert_array_equal(load_file(second)["data"], data[1].numpy())
    states, pooled = torch.rand(2, 5, 8), torch.rand(2, 6)
    column = memory.column("text", a, [Conditioning(states, pooled)])
    dataset = write_dataset(tmp_path, a, [column], memory, {})
    found = load_file(save(tmp_path, dataset, column, a, "{a}.safetensors")[1])
    assert sorted(found) == ["pooled", "states"]
    np.testing.assert_array_equal(found["states"], states[1].numpy())
    np.testing.assert_array_equal(found["pooled"], pooled[1].numpy())


def frames(folder, count=5):
    """Frames of one colour each along an axis, the second without a result."""
    memory, axes = Memory(), {"t": axis("t", range(count))}
    data = torch.linspace(-1, 1, count).reshape(count, 1, 1, 1).expand(count, 3, 9, 7).contiguous()
    column = memory.column("f", axes, [Image(data)])
    column.keys[1] = b""
    return write_dataset(folder, axes, [column], memory, {}), column, axes


@pytest.mark.parametrize("kind", ["gif", "webp", "apng"])
def test_animations_by_pillow(tmp_path, kind):
    dataset, column, axes = frames(tmp_path)
    (path,) = save(tmp_path, dataset, column, axes, f"w.{kind}", time="t", fps=10.0)
    with Picture.open(path) as found:
        assert (found.n_frames, found.size) == (4, (196, 252))
        grey = []
        for n in range(4):
            found.seek(n)
            grey.append(int(np.asarray(found.convert("RGB")).mean()))
    np.testing.assert_allclose(grey, [0, 128, 191, 255], atol=3)


@pytest.mark.parametrize(("kind", "unit"), [("gif", 10), ("webp", 1), ("apng", 1)])
@pytest.mark.parametrize("fps", [50, 48, 30, 24, 15, 7])
def test_frames_last_as_long_as_they_should(tmp_path, kind, unit, fps):
    pixels = (np.full((8, 8, 3), n * 15, dtype=np.uint8) for n in range(17))
    write_animation(tmp_path / "w", f".{kind}", pixels, fps)
    times = []
    with Picture.open(tmp_path / "w") as found:
        for n in range(17):
            found.seek(n)
            found.load()  # a webp says it then
            times.append(found.info["duration"])
    np.testing.assert_allclose(np.cumsum(times), np.arange(1, 18) * 1000 / fps, atol=unit / 2 + 1e-6)
    assert min(times) >= 2 * unit


def test_small_frames_are_enlarged_to_squares(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3), dtype=np.uint8)
    write_animation(tmp_path / "w.apng", ".apng", iter(pixels), 4.0)
    with Picture.open(tmp_path / "w.apng") as found:
        for n, frame in enumerate(pixels):
            found.seek(n)
            large = Picture.fromarray(frame).resize((240, 160), Picture.Resampling.NEAREST)
            np.testing.assert_array_equal(np.asarray(found.convert("RGB")), np.asarray(large))


def test_mp4_gets_its_frames_through_a_pipe(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nfor last; do :; done\necho "$@" >"$0.said"\ncat >"$last"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    dataset, column, axes = frames(tmp_path)
    (path,) = save(tmp_path, dataset, column, axes, "w.mp4", time="t", fps=12.0)
    assert path.read_bytes() == b"".join(bytes([grey]) * 252 * 196 * 3 for grey in (0, 128, 191, 255))
    assert "-s 196x252 -r 12 " in program.with_name("ffmpeg.said").read_text()
    program.write_text("#!/bin/sh\necho no room >&2\nexit 3\n")
    with pytest.raises(UserError, match="ffmpeg failed: no room"):
        save(tmp_path, dataset, column, axes, "v.mp4", time="t")
    assert not (tmp_path / "v.mp4").exists() and not list(tmp_path.glob(".v.mp4*"))


def test_links_lead_nowhere_else(tmp_path):
    folder, other = tmp_path / "run", tmp_path / "other"
    folder.mkdir(), other.mkdir()
    dataset, columns, axes = scored(folder, s=([1.0], {"a": ["x"]}))
    (folder / "d").symlink_to(other)
    with pytest.raises(UserError, match="leaves the run's folder by a link"):
        save(folder, dataset, columns["s"], axes, "d/{a}.txt")
    assert not list(other.iterdir())


def curve(along=None):
    return Curve("c", Ref("x"), Ref("y"), along, None)


def test_curves_of_different_axes_and_many_lines(tmp_path):
    x, y = np.arange(20.0).reshape(2, 10), np.arange(2.0)
    y = np.array([0.5, np.nan])
    found, _, _ = scored(tmp_path, x=(x, {"g": [1, 2], "seed": range(10)}), y=(y, {"g": [1, 2]}))
    title, drawing, (svg, table) = write_curve(tmp_path, curve(), found.x, found.y)
    assert "the first 8 of 10 lines; all are in c.csv" in title
    assert drawing.count("seed = ") == 8 and svg.read_text() == drawing
    rows = table.read_text().splitlines()
    assert rows[0] == "g,seed,x,y" and len(rows) == 21 and rows[1] == "1,0,0.0,0.5" and rows[-1] == "2,9,19.0,failed"
    title, drawing, _ = write_curve(tmp_path, curve("seed"), found.x, found.y)
    assert "of" not in title.split(":")[0] and "g = 1" in drawing and "points along seed" in drawing
    assert "g = 2" not in drawing  # it has no points


def test_points_are_joined_along_numbers_that_are_no_seeds():
    assert joined({"seed": list(range(9)), "prompt": ["a", "b"], "g": [1, 2], "steps": [1, 2, 3]}) == "steps"
    assert joined({"seed": [1, 2], "prompt": ["a", "b"]}) == "prompt"
    assert joined({"seed": [1, 2]}) == "seed" and joined({"g": [1]}) is None


def test_one_point_is_a_curve_too(tmp_path):
    found, _, _ = scored(tmp_path, x=(3.0, {}), y=(4.0, {}))
    title, drawing, (_, table) = write_curve(tmp_path, curve(), found.x, found.y)
    assert title == "c: y by x" and table.read_text().splitlines() == ["x,y", "3.0,4.0"]
    ElementTree.fromstring(drawing)


def test_outputs_in_python():
    graph = Graph().sweep(seed=[1])
    graph.node("noise", "noise", seed="$seed")
    graph.outputs("noise").outputs(files={"from_": "$noise", "save": "{seed}.npy"})
    first, second = graph.load().document.outputs
    assert (first.name, second.name, second.making.save.text) == ("noise", "files", "{seed}.npy")
