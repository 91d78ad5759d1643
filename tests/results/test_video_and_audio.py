"""Videos and sounds as files: frames and samples against what was written."""

import wave

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from results_example import Memory, axis

from flowgen.errors import UserError
from flowgen.graph.outputs import check_kind
from flowgen.language.expressions import Ref
from flowgen.language.outputs import Making, Output
from flowgen.language.patterns import read_pattern
from flowgen.results.dataset import write_dataset
from flowgen.results.saves import write_saves
from flowgen.values import Audio, Latent, Video


def saved(folder, value, pattern):
    """The files of two items, and the dataset."""
    memory, axes = Memory(), {"seed": axis("seed", [1, 2])}
    column = memory.column("made", axes, [value])
    dataset = write_dataset(folder, axes, [column], memory, {})
    output = Output("o", Ref("n"), None, Making(read_pattern(pattern)))
    return write_saves(folder, output, column, dataset, {"seed": [1, 2]}), dataset


@pytest.mark.parametrize("kind", ["gif", "webp", "apng"])
def test_a_video_is_an_animation_with_its_own_rate(tmp_path, kind):
    grey = torch.tensor([-1.0, -0.2, 0.2, 1.0])
    both = torch.stack([grey, -grey])
    video = Video(both[:, :, None, None, None].expand(2, 4, 3, 8, 6).contiguous(), rate=4.0)
    paths, dataset = saved(tmp_path, video, f"{{seed}}.{kind}")
    assert dataset["made"].dims[1:] == ("frame", "channel", "y", "x")
    with Picture.open(paths[1]) as file:
        assert (file.n_frames, file.size) == (4, (192, 256))
        file.load()
        assert file.info["duration"] == 250
        assert abs(np.asarray(file.convert("RGB"), dtype=float)[0, 0, 0] - 255) <= 3


def test_a_sound_is_a_wav(tmp_path):
    wave_form = torch.linspace(-1.2, 1.2, 50)
    sound = Audio(torch.stack([wave_form, -wave_form]).expand(2, 2, 50), rate=8000)
    paths, dataset = saved(tmp_path, sound, "{seed}.wav")
    assert dataset["made"].dims[1:] == ("speaker", "sample")
    with wave.open(str(paths[0])) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 8000, 50)
        samples = np.frombuffer(file.readframes(50), "<i2").reshape(50, 2).T
    assert np.abs(samples / 32767 - sound.data[0].clamp(-1, 1).numpy()).max() <= 0.5 / 32767 + 1e-7


def test_latents_of_any_rank_have_named_dimensions(tmp_path):
    known = {(5,): ("feature",), (3, 4): ("channel", "position"), (2, 3, 4, 5): ("channel", "frame", "y", "x")}
    for number, (shape, names) in enumerate(known.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        _, dataset = saved(folder, Latent(torch.zeros(2, *shape), "s"), "{seed}.npy")
        assert dataset["made"].dims[1:] == names


def test_what_is_saved_as_what():
    for value, right, wrong in ((Video, ".gif", ".png"), (Audio, ".wav", ".gif")):
        check_kind(read_pattern(f"a{right}"), Making(), value, "$made", None)
        with pytest.raises(UserError, match=f"is saved as.*{right}"):
            check_kind(read_pattern(f"a{wrong}"), Making(), value, "$made", None)
