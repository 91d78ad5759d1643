"""Files of outputs whose value is one alone, or of points that differ in more than their numbers."""

import csv
import wave

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from results_example import Memory, axis
from safetensors.numpy import load_file

from flowgen.errors import UserError
from flowgen.experiment import load
from flowgen.language.expressions import Ref
from flowgen.language.outputs import Making, Output
from flowgen.language.patterns import read_pattern
from flowgen.node import node
from flowgen.results.dataset import write_dataset
from flowgen.results.grids import write_grids
from flowgen.results.saves import write_saves
from flowgen.values import Audio, Image, Moments, Noise, PerItem, Score, Video


@node("saves.film")
def film(k: PerItem[float], rate: float = 8.0) -> Video:
    """Two frames."""
    return Video(torch.zeros(len(k.values), 2, 3, 8, 8) + torch.linspace(-1, 1, 2)[:, None, None, None], rate=rate)


def saved(folder, batches, pattern, failed=(), labels=None, **options):
    """The files of an output ``made``, and its dataset."""
    memory, axes = Memory(), {name: axis(name, found) for name, found in (labels or {}).items()}
    column = memory.column("made", axes, batches)
    for at in failed:
        column.keys[at] = b""
    dataset = write_dataset(folder, axes, [column], memory, {})
    output = Output("o", Ref("n"), None, Making(read_pattern(pattern), **options))
    return write_saves(folder, output, column, dataset, labels or {}), dataset


def ranged(highs, size=8):
    """Pictures of half their range each."""
    return [Image(torch.full((1, 3, size, size), high / 2), (0.0, high)) for high in highs]


HALF = 128
"""half a range as a pixel"""


def alone(folder, value, pattern):
    """The file of an output without axes."""
    (path,), _ = saved(folder, [value], pattern)
    return path


@pytest.mark.parametrize("kind", ["png", "webp", "jpg"])
def test_a_picture_without_axes(tmp_path, kind):
    path = alone(tmp_path, Image(torch.full((1, 3, 16, 24), 0.5)), f"pictures/one.{kind}")
    with Picture.open(path) as found:
        assert found.size == (24, 16) and np.abs(np.asarray(found.convert("RGB"), dtype=float) - 191).max() <= 2
        assert kind != "png" or found.text["Description"] == "o"


@pytest.mark.parametrize("kind", ["gif", "webp", "apng"])
def test_a_video_without_axes(tmp_path, kind):
    frames = torch.linspace(-1, 1, 3).reshape(1, 3, 1, 1, 1).expand(1, 3, 3, 8, 8).contiguous()
    with Picture.open(alone(tmp_path, Video(frames), f"one.{kind}")) as found:
        assert found.n_frames == 3


def test_a_sound_without_axes(tmp_path):
    with wave.open(str(alone(tmp_path, Audio(torch.zeros(1, 2, 50), 8000), "one.wav"))) as found:
        assert (found.getnchannels(), found.getnframes()) == (2, 50)


def test_numbers_without_axes(tmp_path):
    score = Score(torch.tensor([0.1], dtype=torch.float64), torch.tensor([7]))
    assert float(alone(tmp_path, score, "one.txt").read_text()) == 0.1
    with alone(tmp_path, score, "one.csv").open() as file:
        assert list(csv.reader(file)) == [["made", "n"], ["0.1", "7"]]
    assert np.load(alone(tmp_path, score, "one.npy")) == 0.1
    noise = torch.randn(1, 4, 3, 3)
    found = np.load(alone(tmp_path, Noise(noise, torch.zeros(1, 9, dtype=torch.uint8)), "noise.npy"))
    np.testing.assert_array_equal(found, noise[0].numpy())
    moments = Moments(torch.tensor([7]), torch.randn(1, 2), torch.randn(1, 2, 2), "net")
    tensors = load_file(alone(tmp_path, moments, "one.safetensors"))
    np.testing.assert_array_equal(tensors["scatter"], moments.scatter[0].numpy())


def test_one_value_that_failed_gets_no_file(tmp_path):
    memory = Memory()
    column = memory.column("made", {}, [Score(torch.tensor([2.5]), torch.tensor([1]))])
    failed = type(column)("made", (), np.array(b"", dtype="S40"), "value", memory.items[next(iter(memory.items))])
    dataset = write_dataset(tmp_path, {}, [failed], memory, {})

    def files(pattern):
        return write_saves(tmp_path, Output("o", Ref("n"), None, Making(read_pattern(pattern))), failed, dataset, {})

    assert files("one.txt") == [] and files("one.npy") == []
    assert files("one.csv")[0].read_text().splitlines() == ["made,n", "failed,0"]


@pytest.mark.parametrize("failed", [(), [(1,)]])
def test_each_picture_has_its_own_range(tmp_path, failed):
    paths, _ = saved(tmp_path, ranged([1.0, 8.0, 4.0]), "{a}.png", failed, {"a": ["x", "y", "z"]})
    assert len(paths) == 3 - len(failed)
    for path in paths:
        with Picture.open(path) as found:
            assert found.getpixel((3, 3)) == (HALF,) * 3


def test_each_frame_has_its_own_range(tmp_path):
    labels = {"s": [0, 1], "t": [1, 2, 3]}
    (first, second), _ = saved(tmp_path, ranged([1.0, 4.0, 2.0] * 2), "{s}.apng", [(0, 1)], labels, time="t")
    with Picture.open(second) as found:  # frames that are alike are one
        assert getattr(found, "n_frames", 1) == 1 and found.convert("RGB").getpixel((3, 3)) == (HALF,) * 3
    with Picture.open(first) as found:
        assert found.convert("RGB").getpixel((3, 3)) == (HALF,) * 3


@pytest.mark.parametrize("labels", [{"a": ["x", "y"]}, {"a": ["x"], "b": [1, 2]}, {"a": ["x", "y"], "b": [1, 2]}])
def test_each_picture_of_a_sheet_has_its_own_range(tmp_path, labels):
    count = int(np.prod([len(found) for found in labels.values()]))
    _, dataset = saved(
        tmp_path, ranged([1.0, 4.0, 0.5, 8.0][:count], 64), "".join(f"{{{a}}}" for a in labels) + ".npy", labels=labels
    )
    (sheet,) = write_grids(tmp_path, dataset)["made"]
    with Picture.open(sheet) as found:
        colours = {colour: number for number, colour in found.getcolors(100_000)}
    assert colours[(HALF,) * 3] >= count * 64 * 64


def test_each_video_has_its_own_rate(tmp_path):
    frames = torch.linspace(-1, 1, 3).reshape(1, 3, 1, 1, 1).expand(1, 3, 3, 8, 8).contiguous()
    videos = [Video(frames, rate=rate) for rate in (4.0, 10)]
    paths, dataset = saved(tmp_path, videos, "{rate}.gif", labels={"rate": [4, 10]})
    assert [Picture.open(path).info["duration"] for path in paths] == [250, 100]
    assert dataset["made_rate"].values.tolist() == [4, 10]


def test_each_sound_has_its_own_rate(tmp_path):
    sounds = [Audio(torch.zeros(1, 1, 50), rate) for rate in (8000, 44100)]
    paths, _ = saved(tmp_path, sounds, "{a}.wav", labels={"a": [1, 2]})
    for path, rate in zip(paths, (8000, 44100), strict=True):
        with wave.open(str(path)) as found:
            assert found.getframerate() == rate


def test_a_gif_of_a_video_that_is_too_fast_is_refused(tmp_path):
    text = """\
flowgen: 1
sweep: {rate: [50, 60], k: [1, 2]}
nodes:
  film: {type: saves.film, k: $k, rate: $rate}
outputs: {film: {from: $film, save: "{rate}{k}.gif"}}
"""
    (tmp_path / "g.yaml").write_text(text)
    with pytest.raises(UserError, match="a gif can't show 60 frames per second, only up to 50") as caught:
        load(tmp_path / "g.yaml").check()
    assert caught.value.at.line == 5
    for changed in (text.replace("60", "40"), text.replace("gif", "webp")):
        (tmp_path / "g.yaml").write_text(changed)
        load(tmp_path / "g.yaml").check()
