"""The little of ZIP that blocks need: files stored as they are, in a frame that follows from their sizes.

Written by hand so that the frame, headers and directory, can be made anew on reading and compared, and so that numbers
lie where processors want them. Any reader of ZIP opens the result. PKWARE's APPNOTE 6.3.10, sections 4.3 and 4.5.3.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

ALIGNMENT = 64
"""bytes: where numbers begin is a multiple of it, so that tensors can be views of a file that was read as a whole"""
LIMIT, MANY = 0xFFFFFFFF, 0xFFFF
"""from these sizes, offsets and counts on ZIP64 is needed"""
FULL = 0xFFFFFFFF
"""stands where a number is given in a ZIP64 field"""
UTF8 = 0x800
"""flag: names are UTF-8"""
DATE = 0x21
"""1 January 1980, the first that there is, so that equal blocks are equal files"""
UNIX = 3 << 8
MODE = 0o100644 << 16
"""permissions of a file, for those who extract it"""
PLAIN, WIDE = 20, 45
"""versions of the format that a reader needs: at least, and for ZIP64"""

LOCAL = struct.Struct("<4sHHHHHIIIHH")
CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
END = struct.Struct("<4sHHHHIIH")
END_WIDE = struct.Struct("<4sQHHIIQQQQ")
LOCATOR = struct.Struct("<4sIQI")
ZIP64 = 0x0001
PADDING = 0xD935
"""identifiers of extra fields; the second is the one that Android's zipalign pads with"""
LAST = "last file at %016x, %016x bytes"
"""the archive's comment, of one length, so that its last file is found by the last bytes alone"""
TAIL = len(LAST % (0, 0))


class Entry(NamedTuple):
    """A file in the archive."""

    path: str
    size: int
    """bytes"""
    crc: int
    """CRC-32"""
    aligned: bool


class Frame(NamedTuple):
    """All bytes of an archive but for its files' content."""

    heads: list[bytes]
    """what stands before each file"""
    starts: list[int]
    """where the content of each begins"""
    end: bytes
    """what follows the last"""
    size: int
    """bytes of the archive, content included"""


def frame(entries: Sequence[Entry]) -> Frame:
    """The frame of an archive of these files in this order."""
    before, starts = heads(entries)
    places = zip(entries, before, starts, strict=True)
    end, at = b"".join(record(entry, start - len(head)) for entry, head, start in places), starts[-1] + entries[-1].size
    end += ending(len(entries), at, len(end), LAST % (starts[-1], entries[-1].size))
    return Frame(before, starts, end, at + len(end))


def heads(entries: Sequence[Entry]) -> tuple[list[bytes], list[int]]:
    """What stands before each of these files in an archive, and where the content of each begins."""
    found, starts, at = [], [], 0
    for entry in entries:
        found.append(head(entry, at))
        starts.append(at + len(found[-1]))
        at = starts[-1] + entry.size
    return found, starts


def head(entry: Entry, at: int) -> bytes:
    """A local file header, padded so that what follows is aligned."""
    name, wide = entry.path.encode(), entry.size >= LIMIT
    extra = struct.pack("<HHQQ", ZIP64, 16, entry.size, entry.size) if wide else b""
    if entry.aligned:
        extra += padding(at + LOCAL.size + len(name) + len(extra))
    size, version = (FULL, WIDE) if wide else (entry.size, PLAIN)
    lengths = len(name), len(extra)
    return LOCAL.pack(b"PK\3\4", version, UTF8, 0, 0, DATE, entry.crc, size, size, *lengths) + name + extra


def padding(at: int) -> bytes:
    """An extra field after which the offset is aligned, if it isn't yet."""
    missing = -at % ALIGNMENT
    if not missing:
        return b""
    if missing < 6:  # its own head takes four, the alignment that it states two
        missing += ALIGNMENT
    return struct.pack("<HHH", PADDING, missing - 4, ALIGNMENT) + bytes(missing - 6)


def record(entry: Entry, at: int) -> bytes:
    """A file's record in the central directory; ``at`` is where its header begins."""
    name, wide, far = entry.path.encode(), entry.size >= LIMIT, at >= LIMIT
    numbers = [entry.size, entry.size] * wide + [at] * far
    extra = struct.pack(f"<HH{len(numbers)}Q", ZIP64, 8 * len(numbers), *numbers) if numbers else b""
    version, size = WIDE if numbers else PLAIN, FULL if wide else entry.size
    about = UNIX | version, version, UTF8, 0, 0, DATE, entry.crc, size, size, len(name), len(extra)
    return CENTRAL.pack(b"PK\1\2", *about, 0, 0, 0, MODE, FULL if far else at) + name + extra


def ending(count: int, start: int, size: int, comment: str) -> bytes:
    """The end of the central directory, which has ``count`` records in ``size`` bytes from ``start`` on."""
    made, shown = b"", (count, count, size, start)
    if count >= MANY or start >= LIMIT or size >= LIMIT:
        about = END_WIDE.size - 12, UNIX | WIDE, WIDE, 0, 0, count, count, size, start
        made = END_WIDE.pack(b"PK\6\6", *about) + LOCATOR.pack(b"PK\6\7", 0, start + size, 1)
        shown = (0xFFFF, 0xFFFF, FULL, FULL)
    return made + END.pack(b"PK\5\6", 0, 0, *shown, len(comment)) + comment.encode()


def last_file(tail: bytes) -> tuple[int, int] | None:
    """Where the last file of an archive begins, and its size, by the archive's last bytes; None if they aren't such."""
    try:
        told = tail[-TAIL:].decode()
        at, size = int(told[13:29], 16), int(told[31:47], 16)
    except ValueError:
        return None
    return (at, size) if told == LAST % (at, size) else None
