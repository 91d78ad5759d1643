"""Outputs as a labelled dataset: what xarray reads back is what was computed."""

import dataclasses
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import xarray
from results_example import Memory, axis, digit_pictures, example

from flowgen.errors import UserError
from flowgen.results.dataset import write_dataset
from flowgen.values import Conditioning, Features, Image, Latent, Noise, Noisy, Record, Score, Time, Video


@pytest.fixture(autouse=True)
def strict():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def one(folder, batch, **axes):
    """A dataset with one output ``out``, read back by ``xarray.open_zarr``."""
    memory, made = Memory(), {name: axis(name, labels) for name, labels in axes.items()}
    write_dataset(folder, made, [memory.column("out", made, [batch])], memory, {})
    return xarray.open_zarr(folder / "results.zarr")


def test_the_example_comes_back_exactly(tmp_path):
    axes, columns, memory = example()
    returned = write_dataset(tmp_path, axes, columns, memory, {"graph": "a.yaml", "n": 3})
    opened = xarray.open_zarr(tmp_path / "results.zarr")
    xarray.testing.assert_identical(returned.load(), opened.load())
    assert opened["image"].dims == ("colour", "digit", "guidance", "seed", "channel", "y", "x")
    assert opened["image"].dtype == np.float32 and opened["image"].attrs["range"] == [-1.0, 1.0]
    np.testing.assert_array_equal(opened["image"].values.reshape(960, 3, 32, 32), digit_pictures().numpy())
    point = opened.sel(colour="blue", digit="seven", guidance=4, seed=3)
    wanted = ((2 * 10 + 7) * 3 + 2) * 8 + 3
    np.testing.assert_array_equal(point["image"].values, digit_pictures()[wanted].numpy())
    assert opened["fid"].values.tolist() == [31.41592, 12.5, 18.25] and opened["fid"].dims == ("guidance",)
    assert opened["fid_count"].values.tolist() == [320] * 3 and opened["fid_count"].dtype == np.int64
    assert opened["clip"].attrs["long_name"] == "CLIP score" and "name" not in opened["clip"].attrs
    assert opened.attrs == {"graph": "a.yaml", "n": 3}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.zarr"]


@pytest.mark.parametrize("slab", [20_000, 100_000, 3_000_000])
def test_slabs_of_any_size_give_the_same(tmp_path, slab):
    axes, columns, memory = example(8)
    whole = write_dataset(tmp_path, axes, columns, memory, {}).load()
    assert memory.largest == 960
    memory.largest = 0
    other = tmp_path / "other"
    other.mkdir()
    xarray.testing.assert_identical(write_dataset(other, axes, columns, memory, {}, slab_bytes=slab).load(), whole)
    assert memory.largest <= max(1, slab // (4 + 8 + 4))


def test_chunks_are_of_reasonable_size_and_hold_whole_items(tmp_path):
    data = one(tmp_path, Image(torch.zeros(24, 3, 256, 256)), a=range(2), b=range(4), c=range(3))
    assert data["out"].encoding["chunks"] == (1, 1, 3, 3, 256, 256)  # 0.75 MiB each, 4 MiB in all at most
    axes, columns, memory = example()
    assert write_dataset(tmp_path, axes, columns, memory, {})["image"].encoding["chunks"][:4] == (1, 10, 3, 8)


@pytest.mark.parametrize(
    ("labels", "kind", "wanted"),
    [
        ((1, 2, 4), "i", [1, 2, 4]),
        ((0.5, 1, 2), "f", [0.5, 1.0, 2.0]),
        ((True, False), "b", [True, False]),
        ((1, "a", 2.5, True), "T", ["1", "a", "2.5", "true"]),
        ((2**63, 1), "T", [str(2**63), "1"]),
        ((-(2**63), 2**63 - 1), "i", [-(2**63), 2**63 - 1]),
        ((2**60 + 1, 0.5), "T", [str(2**60 + 1), "0.5"]),
        (
            ("", "../a/b", '"<script>\n', "日本" * 300, "\ud800"),
            "T",
            ["", "../a/b", '"<script>\n', "日本" * 300, "\\ud800"],
        ),
    ],
)
def test_labels_of_every_kind(tmp_path, labels, kind, wanted):
    batch = Score(torch.arange(len(labels)).float(), torch.ones(len(labels), dtype=torch.long))
    coordinate = one(tmp_path, batch, axis=labels)["axis"]
    assert coordinate.dtype.kind == kind and coordinate.values.tolist() == wanted


def test_an_output_without_axes(tmp_path):
    data = one(tmp_path, Score(torch.tensor([2.5], dtype=torch.float64), torch.tensor([7]), "loss"))
    assert data["out"].dims == () and float(data["out"]) == 2.5 and int(data["out_count"]) == 7
    assert one(tmp_path, Image(torch.ones(1, 3, 4, 5)))["out"].dims == ("channel", "y", "x")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_floats_become_float32_exactly(tmp_path, dtype):
    data = torch.randn(4, 4, 2, 2).to(dtype)
    found = one(tmp_path, Latent(data, "4 channels"), seed=range(4))["out"]
    assert found.dtype == np.float32 and found.attrs["space"] == "4 channels"
    np.testing.assert_array_equal(found.values, data.float().numpy())


def test_fields_and_their_dimensions(tmp_path):
    states, pooled = torch.randn(2, 5, 8), torch.randn(2, 6)
    data = one(tmp_path, Conditioning(states, pooled), text=["a", "b"])
    assert data["out"].dims == ("text", "token", "width")
    assert data["out_pooled"].dims == ("text", "out_pooled_width")  # another width than the states'
    assert "out_pooled" not in one(tmp_path, Conditioning(states), text=["a", "b"])
    stream = torch.zeros(2, 50, dtype=torch.uint8)
    data = one(tmp_path, Noise(torch.randn(2, 7), stream), seed=[0, 1])
    assert set(data.data_vars) == {"out"} and data["out"].dims == ("seed", "feature")
    data = one(tmp_path, Noise(torch.randn(2, 1, 1, 1, 1, 7), stream), seed=[0, 1])  # a rank that has no names
    assert data["out"].dims == ("seed", *(f"out_dim_{n}" for n in range(5)))
    time = Time(torch.arange(2), *(torch.rand(2, dtype=torch.float64) for _ in range(4)))
    data = one(tmp_path, Noisy(torch.randn(2, 3, 4, 4), time), step=[0, 1])
    assert data["out_time_sigma"].values.tolist() == time.sigma.tolist() and "time" not in data["out"].attrs


def test_names_that_would_collide_are_kept_apart(tmp_path):
    """Axes, outputs and dimensions share a name space in a dataset."""
    memory, x, other = Memory(), axis("x", [0, 1, 2]), axis("width", ["a", "b"])
    axes = {"x": x, "width": other}
    columns = [
        memory.column("y", {"x": x}, [Image(torch.randn(3, 3, 3, 3))]),
        memory.column("small", {"x": x}, [Latent(torch.randn(3, 4, 2, 2), "s")]),
        memory.column("a", {"width": other}, [Score(torch.rand(2), torch.ones(2, dtype=torch.long))]),
        memory.column("a_count", {}, [Features(torch.randn(1, 9), "net")]),
    ]
    data = write_dataset(tmp_path, axes, columns, memory, {})
    assert data["y"].dims == ("x", "channel", "y_y", "y_x")
    assert data["small"].dims == ("x", "small_channel", "small_y", "small_x")
    assert data["a_count"].dims == ("feature",) and data["a_count_2"].dims == ("width",)


@dataclass(frozen=True)
class Odd(Record):
    value: torch.Tensor
    dtype: str = "days"
    units: str = "days since 2000-01-01"
    limit: float = float("inf")


def test_metadata_never_changes_how_numbers_are_read(tmp_path):
    found = one(tmp_path, Odd(torch.tensor([0, 1, 255], dtype=torch.uint8)), n=range(3))["out"]
    assert found.values.tolist() == [0, 1, 255] and found.dtype == np.uint8
    assert found.attrs["units_"] == "days since 2000-01-01" and found.attrs["limit"] == "inf"


def test_points_that_share_a_key_are_read_once(tmp_path):
    memory, seed = Memory(), axis("seed", range(4))
    column = memory.column("out", {"seed": seed}, [Image(torch.randn(4, 3, 2, 2))])
    column.keys[2] = column.keys[0]
    values = write_dataset(tmp_path, {"seed": seed}, [column], memory, {})["out"].values
    np.testing.assert_array_equal(values[2], values[0])
    assert not np.array_equal(values[1], values[0]) and not np.array_equal(values[3], values[0])


def test_points_without_a_result_are_nan(tmp_path):
    memory, seed = Memory(), axis("seed", range(3))
    batch = Score(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([5, 5, 5]))
    column = memory.column("out", {"seed": seed}, [batch])
    column.keys[0] = b""
    data = write_dataset(tmp_path, {"seed": seed}, [column], memory, {})
    np.testing.assert_array_equal(data["out"].values, [np.nan, 2, 3])
    assert data["out_count"].values.tolist() == [0, 5, 5]
    column.keys[:] = b""
    with pytest.raises(UserError, match="'out'"):
        write_dataset(tmp_path, {"seed": seed}, [column], memory, {})


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool])
def test_a_whole_number_that_there_is_not_is_missing(tmp_path, dtype):
    memory, seed = Memory(), axis("seed", range(3))
    values = torch.tensor([1, 1, 0]).to(dtype)
    column = memory.column("out", {"seed": seed}, [Score(values, torch.tensor([5, 5, 5]))])
    whole = write_dataset(tmp_path, {"seed": seed}, [column], memory, {})["out"]
    assert whole.dtype == values.numpy().dtype and whole.values.tolist() == values.tolist()
    column.keys[0] = b""
    write_dataset(tmp_path, {"seed": seed}, [column], memory, {})
    data = xarray.open_zarr(tmp_path / "results.zarr")
    np.testing.assert_array_equal(data["out"].values, [np.nan, 1, 0])
    assert data["out"].isnull().values.tolist() == [True, False, False] and data["out_count"].values.tolist() == [
        0,
        5,
        5,
    ]


def test_a_picture_of_whole_numbers_that_there_is_not_is_missing(tmp_path):
    memory, seed = Memory(), axis("seed", range(2))
    column = memory.column("out", {"seed": seed}, [Image(torch.full((2, 3, 4, 4), 255, dtype=torch.uint8), (0, 255))])
    column.keys[0] = b""
    values = write_dataset(tmp_path, {"seed": seed}, [column], memory, {})["out"].values
    assert np.isnan(values[0]).all() and (values[1] == 255).all() and values.dtype == np.float32


def test_items_of_several_shapes_are_refused_by_name(tmp_path):
    memory, size = Memory(), axis("size", [32, 64])
    batches = [Image(torch.zeros(1, 3, 32, 32)), Image(torch.zeros(1, 3, 64, 64))]
    column = memory.column("picture", {"size": size}, batches)
    with pytest.raises(UserError, match=r"'picture'.*3×32×32.*3×64×64"):
        write_dataset(tmp_path, {"size": size}, [column], memory, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("slab", [1, 2**20])
def test_metadata_that_differs_is_written_by_point(tmp_path, slab):
    memory, model = Memory(), axis("model", ["a", "b"])
    batches = [Features(torch.zeros(1, 3), "net a"), Features(torch.ones(1, 3), "net b")]
    column = memory.column("features", {"model": model}, batches)
    write_dataset(tmp_path, {"model": model}, [column], memory, {}, slab_bytes=slab)
    data = xarray.open_zarr(tmp_path / "results.zarr")
    assert "extractor" not in data["features"].attrs and data["features"].values.tolist() == [[0.0] * 3, [1.0] * 3]
    assert data["features_extractor"].values.tolist() == ["net a", "net b"]
    assert data["features_extractor"].attrs == {"output": "features", "metadata": "extractor"}


def test_metadata_of_every_kind_by_point(tmp_path):
    memory, axes = Memory(), {"a": axis("a", ["x", "y"]), "b": axis("b", [1, 2])}
    videos = [Video(torch.zeros(1, 2, 3, 4, 4), (0.0, high), rate) for high, rate in ((1.0, 8), (4.0, 8), (1.0, 16.5))]
    videos.append(videos[0])
    column = memory.column("out", axes, videos)
    column.keys[1, 1] = b""
    data = write_dataset(tmp_path, axes, [column], memory, {})
    assert data["out_range"].dims == ("a", "b", "out_range_dim_0") and "range" not in data["out"].attrs
    np.testing.assert_array_equal(data["out_range"], [[[0, 1], [0, 4]], [[0, 1], [np.nan, np.nan]]])
    np.testing.assert_array_equal(data["out_rate"], [[8, 8], [16.5, np.nan]])
    odd = [dataclasses.replace(Odd(torch.zeros(1)), limit=limit) for limit in (0.5, None)]
    data = write_dataset(tmp_path, {"b": axes["b"]}, [memory.column("out", {"b": axes["b"]}, odd)], memory, {})
    assert data["out_limit"].values.tolist() == ["0.5", "null"] and data["out"].attrs["dtype_"] == "days"


def test_a_failed_reader_leaves_the_old_results(tmp_path):
    axes, columns, memory = example(4)
    before = write_dataset(tmp_path, axes, columns, memory, {}).load()
    broken = dataclasses.replace(columns[2], keys=np.array([b"f" * 40] * 3))
    with pytest.raises(KeyError):
        write_dataset(tmp_path, axes, [*columns[:2], broken], memory, {})
    assert [path.name for path in tmp_path.iterdir()] == ["results.zarr"]
    xarray.testing.assert_identical(xarray.open_zarr(tmp_path / "results.zarr").load(), before)
