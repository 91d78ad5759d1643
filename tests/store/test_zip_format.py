"""Archives against Python's own reader and writer of ZIP."""

import io
import random
import struct
import zipfile
import zlib

import pytest

from flowgen.store import zip_format
from flowgen.store.zip_format import ALIGNMENT, Entry, frame, last_file


def entry(path, data, aligned=False):
    return Entry(path, len(data), zlib.crc32(data), aligned)


def archive(files, aligned=()):
    """The bytes of an archive of some files."""
    framed = frame([entry(path, data, path in aligned) for path, data in files.items()])
    whole = b"".join(part for pair in zip(framed.heads, files.values(), strict=True) for part in pair) + framed.end
    assert len(whole) == framed.size
    for start, data in zip(framed.starts, files.values(), strict=True):
        assert whole[start : start + len(data)] == data
    return whole, framed


def read(whole):
    """What Python's zipfile finds."""
    with zipfile.ZipFile(io.BytesIO(whole)) as found:
        assert found.testzip() is None
        assert all(each.date_time == (1980, 1, 1, 0, 0, 0) for each in found.infolist())
        assert all(each.compress_type == zipfile.ZIP_STORED for each in found.infolist())
        return {each.filename: found.read(each) for each in found.infolist()}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("limit", [None, 1000, 60, 1])
def test_zipfile_reads_what_was_framed(monkeypatch, seed, limit):
    """limit: from which size or offset on ZIP64 is used, as if the archive had 4 GiB."""
    rng = random.Random(seed)
    files = {f"folder/{'ü' * n}{n}.x": rng.randbytes(rng.choice([0, 1, 63, 64, rng.randrange(5000)])) for n in range(9)}
    aligned = set(rng.sample(sorted(files), 5))
    if limit:
        monkeypatch.setattr(zip_format, "LIMIT", limit)
    whole, framed = archive(files, aligned)
    assert read(whole) == files
    assert all(start % ALIGNMENT == 0 for start, path in zip(framed.starts, files, strict=True) if path in aligned)
    assert last_file(whole[-zip_format.TAIL :]) == (framed.starts[-1], len(files["folder/üüüüüüüü8.x"]))
    assert (b"PK\6\6" in framed.end) == (limit is not None and framed.size - len(framed.end) >= limit)


def test_many_files_need_zip64(monkeypatch):
    monkeypatch.setattr(zip_format, "MANY", 20)
    files = {f"{n}": b"x" * n for n in range(20)}
    assert read(archive(files)[0]) == files


def test_an_archive_beyond_4_gib_is_read_by_zipfile(tmp_path):
    """Of which nearly all is a hole in the file: what follows it is found by ZIP64 offsets alone."""
    sizes = {"first": 5 * 2**30, "second": 100, "last": 7}
    entries = [Entry(path, size, zlib.crc32(bytes(size)) if size < 2**30 else 0, True) for path, size in sizes.items()]
    framed = frame(entries)
    with open(tmp_path / "large.zip", "wb") as file:
        for head, start in zip(framed.heads, framed.starts, strict=True):
            file.seek(start - len(head))
            file.write(head)
        file.seek(framed.size - len(framed.end))
        file.write(framed.end)
        assert file.tell() == framed.size
    with zipfile.ZipFile(tmp_path / "large.zip") as found:
        assert {each.filename: each.file_size for each in found.infolist()} == sizes
        assert found.read("second") == bytes(100) and found.read("last") == bytes(7)
        assert found.open("first").read(10) == bytes(10)
        assert found.getinfo("second").header_offset > 2**32
    assert last_file(framed.end) == (framed.starts[-1], 7)


def test_the_frame_is_what_zipfile_would_write():
    """Field by field, for a file that needs no padding."""
    data = b"some text"
    whole, framed = archive({"a/b.json": data})
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as other:
        about = zipfile.ZipInfo("a/b.json")
        about.create_system, about.external_attr = 3, 0o100644 << 16
        about.flag_bits = 0
        other.writestr(about, data)
        other.comment = framed.end[-zip_format.TAIL :]
    theirs = made.getvalue()
    differing = {n for n, (one, two) in enumerate(zip(whole, theirs, strict=True)) if one != two}
    flags = {7, len(framed.heads[0]) + len(data) + 9}  # names are UTF-8, which ASCII names needn't say
    assert differing == flags
    assert struct.unpack_from("<H", whole, 6) == (zip_format.UTF8,)


@pytest.mark.parametrize("tail", [b"", b"last file at", b"x" * 100, (zip_format.LAST % (1, 2)).encode()[1:] + b" "])
def test_what_ends_otherwise_is_no_archive(tail):
    assert last_file(tail) is None
