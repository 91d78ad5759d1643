"""The store: what is read is what was written, or nothing."""

import errno
import json
import multiprocessing
import os
import pickle
import sqlite3
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import zarr
from storing import chunk_of, file_of, flip, hurt, spans
from torch import Tensor

from flowgen.errors import UserError
from flowgen.store import Lost, Store, aside, block, zip_format
from flowgen.store.manifest import digest
from flowgen.values import Features, Image, Latent, Noise, Noisy, Prediction, Record, Score, Time


@dataclass(frozen=True)
class EveryKind(Record):
    """A tensor of each dtype."""

    a: Tensor
    b: Tensor
    c: Tensor
    d: Tensor
    e: Tensor
    sizes: tuple[int, ...] = (1, 2)


def key(n: int) -> str:
    return f"{n:040x}"


def every_kind(count: int) -> EveryKind:
    return EveryKind(
        torch.rand(count, 3, 5).bfloat16(),
        torch.rand(count) > 0.5,
        torch.rand(count, 2).half(),
        torch.randint(-9, 9, (count, 1, 1, 2)),
        torch.rand(count, 0, 4).double(),
    )


def prediction(count: int) -> Prediction:
    time = Time(torch.arange(count), torch.arange(count) * 10, *torch.rand(3, count).double())
    return Prediction(torch.rand(count, 4, 2, 2), Noisy(torch.rand(count, 4, 2, 2), time, "here"), "epsilon")


RECORDS = {
    "image": lambda n: Image(torch.rand(n, 3, 4, 4), (-1.0, 1.0)),
    "latent": lambda n: Latent(torch.rand(n, 4, 2, 2), "4 channels"),
    "noise": lambda n: Noise(torch.randn(n, 4, 2, 2), torch.randint(0, 255, (n, 16), dtype=torch.uint8)),
    "score": lambda n: Score(torch.rand(n), torch.ones(n, dtype=torch.long), "CLIP score"),
    "every kind": every_kind,
    "nested": prediction,
}


def equal(one: Record, other: Record) -> bool:
    same = one.signature() == other.signature() and type(one) is type(other)
    return same and all(torch.equal(t, other.tensors()[name]) for name, t in one.tensors().items())


@pytest.mark.parametrize("kind", RECORDS)
def test_what_is_read_is_what_was_written(tmp_path, kind):
    value = RECORDS[kind](3)
    Store(tmp_path).write([key(n) for n in range(3)], {"value": value, "other": RECORDS["score"](3)}, {"by": "test"})
    fresh = Store(tmp_path)
    ((positions, found),) = fresh.read([key(2), key(0), key(2)], "value")
    assert positions == [0, 1, 2]
    assert equal(found, value.take([2, 0, 2]))


@pytest.mark.parametrize("kind", RECORDS)
def test_numbers_that_are_written_before_the_rest_are_the_same_file(tmp_path, monkeypatch, kind):
    """As those of large blocks are."""
    value, keys = RECORDS[kind](3), [key(n) for n in range(3)]
    name = Store(tmp_path / "a").write(keys, {"value": value, "other": value}, {"by": "test"})
    monkeypatch.setattr(block, "LARGE", 1)
    monkeypatch.setattr(aside, "LARGE", 1)
    store = Store(tmp_path / "b")
    assert store.write(keys, {"value": value, "other": value}, {"by": "test"}) == name
    assert file_of(tmp_path / "a", name).read_bytes() == file_of(tmp_path / "b", name).read_bytes()
    assert equal(block.read(store.medium, name).outputs["other"], value)


def test_zarr_reads_a_block(tmp_path):
    store = Store(tmp_path)
    value = every_kind(3)
    name = store.write([key(n) for n in range(3)], {"value": value}, {})
    with zipfile.ZipFile(file_of(tmp_path, name)) as archive:
        assert archive.testzip() is None
    group = zarr.open_group(zarr.storage.ZipStore(file_of(tmp_path, name), mode="r"), mode="r")
    for field, tensor in value.tensors().items():
        found = torch.from_numpy(group[f"value/{field}"][...])
        assert torch.equal(found.view(torch.bfloat16) if tensor.dtype == torch.bfloat16 else found, tensor)


def test_items_of_unequal_shape_come_in_groups(tmp_path):
    store = Store(tmp_path)
    store.write([key(0), key(1)], {"value": Latent(torch.rand(2, 4, 2, 2), "a")}, {})
    store.write([key(2)], {"value": Latent(torch.rand(1, 4, 4, 4), "a")}, {})
    store.write([key(3)], {"value": Latent(torch.rand(1, 4, 2, 2), "a")}, {})
    groups = store.read([key(3), key(2), key(0)], "value")
    assert sorted((positions, record.data.shape[-1]) for positions, record in groups) == [([0, 2], 2), ([1], 4)]


def test_a_caller_can_not_reach_the_cache(tmp_path):
    store = Store(tmp_path)
    store.write([key(0)], {"value": Latent(torch.ones(1, 4, 2, 2), "a")}, {})
    store.read([key(0)], "value")[0][1].data.zero_()
    assert store.read([key(0)], "value")[0][1].data.sum() == 16


def test_the_cache_is_bounded(tmp_path):
    store = Store(tmp_path, cache_bytes=3000)
    for n in range(5):
        store.write([key(n)], {"value": Features(torch.full((1, 250), float(n)), "x")}, {})
    assert store.recent.bytes <= 3000
    assert [float(store.read([key(n)], "value")[0][1].data[0, 0]) for n in range(5)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("damage", ["deleted", "garbage", "older"])
def test_the_index_is_disposable(tmp_path, damage):
    store = Store(tmp_path)
    store.write([key(0), key(1)], {"value": RECORDS["latent"](2)}, {})
    store.close()
    index = store.index.path
    if damage == "deleted":
        index.unlink()
    elif damage == "garbage":
        index.write_bytes(b"no database" * 1000)
    else:
        with sqlite3.connect(index) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    again = Store(tmp_path)
    assert set(again.find([key(0), key(1), key(2)])) == {key(0), key(1)}
    assert again.rebuild_index() == 1


def test_every_flipped_byte_is_found(tmp_path):
    original = Latent(torch.rand(1, 1, 1, 2), "s")
    store = Store(tmp_path)
    name = store.write([key(0)], {"value": original}, {})
    file = file_of(tmp_path, name)
    data = file.read_bytes()
    assert len(spans(data)) == 5
    for n in range(len(data)):
        file.write_bytes(flip(data, n, 4))
        for look in (block.read, block.verify):
            with pytest.raises(block.Damaged):
                look(store.medium, name)
    for cut in (data[:-1], data[1:], data + b"x", data[:100], b""):
        file.write_bytes(cut)
        for look in (block.read, block.verify, block.read_manifest):
            with pytest.raises(block.Damaged):
                look(store.medium, name)
    file.write_bytes(data)
    assert equal(block.read(store.medium, name).outputs["value"], original)


def test_damage_that_one_checksum_misses_is_found_by_the_other(tmp_path):
    """``verify`` compares two: numbers that were changed with their crc32c are found by CRC-32."""
    store = Store(tmp_path)
    name = store.write([key(0)], {"value": Latent(torch.rand(1, 1, 1, 2), "s")}, {})
    file = file_of(tmp_path, name)
    block.verify(store.medium, name)
    data = file.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block.zarr_format, "checksum", lambda numbers: crc)
        crc = store.manifest(name)["files"]["value/data/c.0.0.0.0"]["crc32c"]
        file.write_bytes(flip(data, chunk_of(data).start))
        block.read(store.medium, name)
        with pytest.raises(block.Damaged, match=r"c\.0\.0\.0\.0 has other content"):
            block.verify(store.medium, name)


def test_a_block_that_is_read_is_one_piece_of_aligned_memory(tmp_path):
    store = Store(tmp_path)
    name = store.write([key(n) for n in range(3)], {"value": every_kind(3), "other": RECORDS["noise"](3)}, {})
    found = block.read(store.medium, name)
    tensors = [tensor for value in found.outputs.values() for tensor in value.tensors().values()]
    assert len(tensors) == 7 and all(t.data_ptr() % 64 == 0 for t in tensors if t.numel())
    assert found.nbytes == file_of(tmp_path, name).stat().st_size
    noise = RECORDS["noise"](3)
    assert block.Block((), {"value": noise}, {}).nbytes == noise.data.nbytes + noise.stream.nbytes


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "foreign", "remove block"])
def test_a_damaged_block_is_set_aside_and_its_items_are_missing(tmp_path, damage):
    store = Store(tmp_path)
    bad = store.write([key(0), key(1)], {"value": RECORDS["image"](2)}, {})
    store.write([key(2)], {"value": RECORDS["image"](1)}, {})
    file = file_of(tmp_path, bad)
    if damage == "flip":
        hurt(file)
    elif damage == "truncate":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "foreign":
        other = Store(tmp_path / "other").write([key(0), key(1)], {"value": RECORDS["image"](2)}, {})
        os.replace(file_of(tmp_path / "other", other), file)
    else:
        os.rename(file, tmp_path / "gone")
    store.recent.clear()
    with pytest.raises(Lost) as caught:
        store.read([key(2), key(1)], "value")
    assert set(caught.value.keys) == {key(0), key(1)}
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert set(store.find([key(0), key(1), key(2)])) == {key(2)}
    assert not file.exists()
    assert set(Store(tmp_path).find([key(0), key(1), key(2)])) == {key(2)}


def test_verify_finds_the_bad_ones(tmp_path):
    store = Store(tmp_path)
    names = [store.write([key(n)], {"value": RECORDS["image"](1)}, {"n": n}) for n in range(3)]
    with open(file_of(tmp_path, names[1]), "ab") as file:
        file.write(b"x")
    assert store.verify() == [names[1]]
    assert store.verify() == []


def test_a_manifest_that_is_longer_than_what_is_read_at_first(tmp_path, monkeypatch):
    monkeypatch.setattr(block, "END", 100)
    store = Store(tmp_path)
    names = [store.write([key(n)], {"value": RECORDS["image"](1)}, {"n": n}) for n in range(3)]
    assert {store.manifest(name)["provenance"]["n"] for name in names} == {0, 1, 2}
    assert store.rebuild_index() == 3 and store.verify() == []


MADE_UP = {
    "no object": b"[]",
    "no JSON": b"{",
    "older": b'{"version":3}',
    "little": b'{"version":4}',
    "files": b'{"version":4,"files":{"a":1},"keys":[],"outputs":{},"provenance":{}}',
    "outputs": b'{"version":4,"files":{},"keys":[],"outputs":{"a":{"fields":{"b":{"shape":[2]}}}},"provenance":{}}',
}


@pytest.mark.parametrize("kind", MADE_UP)
def test_a_block_that_somebody_made_up_is_damaged(tmp_path, kind):
    """Its manifest has the digest that its name says, and isn't one."""
    store, manifest = Store(tmp_path), MADE_UP[kind]
    name = digest(manifest)
    archive = zip_format.frame([zip_format.Entry("block.json", len(manifest), zlib.crc32(manifest), aligned=False)])
    block.put(store.medium, name, [*archive.heads, manifest, archive.end])
    with pytest.raises(block.Damaged, match="its manifest is"):
        block.read(store.medium, name)
    store.sync()
    assert store.on_disk() == ({name} if kind in ("files", "outputs") else set())


def die_when(root, module, name, after):
    """A child: write a block and die before or after a call."""
    store = Store(root)
    original = getattr(module, name)

    def wrapped(*arguments, **options):
        if not after:
            os._exit(9)
        original(*arguments, **options)
        os._exit(9)

    setattr(module, name, wrapped)
    store.write([key(0), key(1)], {"value": RECORDS["image"](2)}, {})


@pytest.mark.parametrize(
    ("module", "name", "after", "there"),
    [
        (os, "fsync", False, False),
        (os, "fsync", True, False),
        (os, "replace", False, False),
        (os, "replace", True, True),
    ],
)
def test_a_crash_leaves_a_whole_block_or_none(tmp_path, module, name, after, there):
    child = multiprocessing.get_context("fork").Process(target=die_when, args=(tmp_path, module, name, after))
    child.start()
    child.join()
    assert child.exitcode == 9
    store = Store(tmp_path)
    assert bool(store.find([key(0), key(1)])) == there
    assert store.verify() == []


def write_many(root, start):
    """A child: write blocks."""
    store = Store(root)
    for n in range(start, start + 20):
        store.write([key(n)], {"value": RECORDS["latent"](1)}, {"n": n})


def test_two_processes_write_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=write_many, args=(tmp_path, start)) for start in (0, 10, 100)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    store = Store(tmp_path)
    keys = [key(n) for n in [*range(30), *range(100, 120)]]
    assert len(store.find(keys)) == len(keys)
    assert store.verify() == []


def test_many_keys_are_looked_up_at_once(tmp_path):
    store = Store(tmp_path)
    many = [key(n) for n in range(100_000)]
    store.write(many, {"value": Score(torch.arange(1e5), torch.ones(100_000, dtype=torch.long))}, {})
    assert len(store.find(many)) == 100_000
    ((_, found),) = store.read(many[::-1][:10], "value")
    assert found.data.tolist() == [99_999.0 - n for n in range(10)]


def test_a_full_disk_is_said_and_leaves_nothing_behind(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.write([key(0)], {"value": RECORDS["image"](1)}, {})

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "writev", full)
    with pytest.raises(UserError, match=r"the disk of the store .* is full"):
        store.write([key(1)], {"value": RECORDS["image"](1)}, {})
    monkeypatch.undo()
    assert list((tmp_path / "tmp").iterdir()) == []
    assert set(store.find([key(0), key(1)])) == {key(0)}


def test_a_place_that_can_not_be_used_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't use the store"):
        Store(tmp_path / "file" / "store")


def test_stale_leftovers_are_removed(tmp_path):
    Store(tmp_path)
    left = tmp_path / "tmp" / "abc"
    left.mkdir()
    (left / "part").write_text("")
    Store(tmp_path)
    assert left.exists()
    os.utime(left, (1, 1))
    Store(tmp_path)
    assert not left.exists()


def test_a_manifest_says_how_items_were_made(tmp_path):
    store = Store(tmp_path)
    name = store.write([key(0)], {"value": RECORDS["image"](1)}, {"type": "decoder.vae", "seconds": 0.5})
    about = store.manifest(name)
    assert about["provenance"] == {"type": "decoder.vae", "seconds": 0.5}
    assert about["keys"] == [key(0)]
    with zipfile.ZipFile(file_of(tmp_path, name)) as archive:
        assert json.loads(archive.read("block.json")) == about and archive.namelist()[-1] == "block.json"
    assert isinstance(store.path, Path)
