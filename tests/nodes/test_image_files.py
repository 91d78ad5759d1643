"""Pictures and masks from files, and masks by numbers, against what was written and what Pillow makes of it."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
import torch
from flowgen_nodes.images.load import load, load_mask
from flowgen_nodes.images.mask import box
from flowgen_nodes.inpaint.masked import masked
from PIL import Image as Pillow

from flowgen.errors import WiringError
from flowgen.node import Source
from flowgen.values import Image, PerItem

DEEP = np.array([[0, 1, 255, 256, 1000, 32767], [32768, 40000, 65000, 65279, 65280, 65535]], dtype=np.uint16)
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def written(folder, picture):
    picture.save(folder / "p.png")
    return Source("p.png", folder / "p.png")


def test_pixels_are_those_of_the_file(tmp_path):
    found = load(written(tmp_path, Pillow.fromarray(PIXELS))).data
    expected = torch.from_numpy(PIXELS).permute(2, 0, 1)[None].float() / 127.5 - 1
    assert found.shape == (1, 3, 6, 8)
    assert torch.allclose(found, expected, atol=1e-6)


def test_a_picture_is_cut_to_the_middle_or_stretched(tmp_path):
    file = written(tmp_path, Pillow.fromarray(PIXELS))
    middle = load(file, 6, 6).data
    assert torch.equal(middle, load(file).data[..., 1:7])
    assert load(file, 4, 3, crop=False).data.shape == (1, 3, 3, 4)


def test_transparent_parts_are_white(tmp_path):
    clear = np.concatenate([PIXELS, np.zeros((6, 8, 1), dtype=np.uint8)], 2)
    assert bool((load(written(tmp_path, Pillow.fromarray(clear, "RGBA"))).data == 1).all())


def test_a_mask_is_0_or_1(tmp_path):
    grey = Pillow.fromarray(np.array([[0, 127, 128, 255]], dtype=np.uint8))
    assert load_mask(written(tmp_path, grey)).data.tolist() == [[[[0, 0, 1, 1]]]]


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "p.png").write_text("no picture")
    with pytest.raises(WiringError, match=r"'p\.png' is no picture"):
        load(Source("p.png", tmp_path / "p.png"))


def png(folder, samples, colour, clear, bits=16):
    """A PNG by hand, whose colour ``clear`` is transparent."""
    rows = [b"\0" + (row.astype(">u2").tobytes() if bits == 16 else bytes(row)) for row in samples]
    head = struct.pack(">IIBBBBB", len(samples[0]) * (8 // bits or 1), len(samples), bits, colour, 0, 0, 0)
    told = [
        (b"IHDR", head),
        (b"tRNS", struct.pack(f">{len(clear)}H", *clear)),
        (b"IDAT", zlib.compress(b"".join(rows))),
    ]
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in [*told, (b"IEND", b"")]
    ]
    (folder / "p.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return Source("p.png", folder / "p.png")


@pytest.mark.parametrize(
    ("name", "options"), [("p.png", {}), ("p.tif", {}), ("p.tif", {"compression": "tiff_deflate"})], ids=str
)
def test_grey_of_16_bits_is_kept_exactly(tmp_path, name, options):
    Pillow.fromarray(DEEP).save(tmp_path / name, **options)
    file = Source(name, tmp_path / name)
    wanted = DEEP.astype(np.float64) / 65535
    found = load(file).data
    assert found.shape == (1, 3, 2, 6)
    assert np.abs(found.double().numpy() - (wanted * 2 - 1)).max() < 2e-7
    assert np.array_equal(load_mask(file).data[0, 0], wanted >= 0.5)
    # of 2 x 2 pixels bilinear shrinking to half weighs the outer ones less; along the columns there are no others
    half = load(file, 6, 1, crop=False, filter="bilinear").data
    assert np.abs(half.double().numpy()[0, 0] - (wanted.mean(0) * 2 - 1)).max() < 2e-7
    assert (
        float(load(file, 23, 17, crop=False).data.abs().max()) <= 1
    )  # what lanczos adds beyond black and white is cut


@pytest.mark.parametrize(("photometric", "bits"), [(0, 16), (1, 16), (1, 12)])
def test_a_tiff_says_where_white_is(tmp_path, photometric, bits):
    samples = DEEP[:, :4].astype("<u2") >> (16 - bits)
    high, low = samples >> 8, samples & 255
    first, second = samples.reshape(-1, 2).T
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1).astype(np.uint8).tobytes()
    data = packed if bits == 12 else np.stack([low, high], -1).astype(np.uint8).tobytes()
    entries = [(256, 3, 4), (257, 3, 2), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (273, 4, 200)]
    entries += [(277, 3, 1), (278, 3, 2), (279, 4, len(data))]
    table = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4)
    (tmp_path / "p.tif").write_bytes(head.ljust(200, b"\0") + data)
    wanted = samples / (2.0**bits - 1)
    wanted = wanted if photometric else 1 - wanted
    found = load(Source("p.tif", tmp_path / "p.tif")).data
    assert np.abs(found.double().numpy()[0, 1] - (wanted * 2 - 1)).max() < 2e-7


def test_the_transparent_entry_of_a_png_is_white_and_nothing_else_is(tmp_path):
    found = load(png(tmp_path, DEEP, 0, [1000])).data
    assert np.abs(found.double().numpy() - np.where(DEEP == 1000, 1, DEEP / 65535 * 2 - 1)).max() < 2e-7
    colours = np.stack([DEEP, DEEP, DEEP], -1)
    found = load(png(tmp_path, colours, 2, [65280, 65280, 65280])).data
    expected = np.where(DEEP == 65280, 255, DEEP >> 8) / 127.5 - 1
    assert np.abs(found.double().numpy() - expected).max() < 2e-7
    few = load(png(tmp_path, [[0x05, 0xAF]], 0, [5], bits=4)).data[0, 0] * 127.5 + 127.5
    assert few.round().tolist() == [[0, 255, 170, 255]]


@pytest.mark.parametrize("kind", ["int32", "float32"])
@pytest.mark.parametrize("reader", [load, load_mask])
def test_numbers_of_which_nothing_says_the_white_are_refused(tmp_path, kind, reader):
    Pillow.fromarray(np.linspace(0, 1, 6).reshape(2, 3).astype(kind)).save(tmp_path / "p.tif")
    with pytest.raises(WiringError, match=r"'p\.tif' holds .*, and nothing says which of them are black"):
        reader(Source("p.tif", tmp_path / "p.tif"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_a_damaged_picture_is_read_or_refused(tmp_path, kind):
    Pillow.fromarray(PIXELS).save(tmp_path / "sound", kind)
    sound, rng, refused = (tmp_path / "sound").read_bytes(), np.random.default_rng(1), []
    for _ in range(200):
        damaged = np.frombuffer(sound, np.uint8).copy()
        damaged[rng.integers(0, min(len(sound), 200), 2)] = rng.integers(0, 256, 2)
        (tmp_path / "p").write_bytes(damaged.tobytes())
        try:
            load(Source("p", tmp_path / "p"))
        except WiringError as error:
            refused.append(error.message)
    assert refused
    assert [words for words in refused if not words.startswith("'p' is no picture that can be read: ")] == []


def test_a_box_in_fractions_and_the_hole_it_makes():
    image = Image(torch.ones(1, 3, 4, 8))
    mask = box(image, *(PerItem([n]) for n in (0.5, 0.25, 1, 0.75)))
    expected = torch.zeros(1, 1, 4, 8)
    expected[..., 1:3, 4:] = 1
    assert torch.equal(mask.data, expected)
    assert torch.equal(masked(image, mask).data, (1 - expected).expand(1, 3, 4, 8))
    with pytest.raises(WiringError, match="isn't in the picture"):
        box(image, *(PerItem([n]) for n in (0.5, 0, 0.5, 1)))


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ((0.51, 0.515), [4]),  # both round to 4
        ((0.55, 0.59), [4]),  # and here; the middle, 4.56, lies in the fifth pixel
        ((0.45, 0.49), [3]),
        ((0.0, 1e-9), [0]),
        ((1 - 1e-9, 1.0), [7]),
        ((0.5, 0.625), [4]),  # one pixel exactly
        ((0.1875, 0.3125), [2]),  # 1.5 and 2.5 are both as near to 2, the even one
        ((0.0625, 0.4375), [0, 1, 2, 3]),  # 0.5 becomes 0, 3.5 becomes 4
    ],
)
def test_a_box_has_a_pixel_however_thin(edges, expected):
    image = Image(torch.zeros(1, 3, 8, 8))
    for across in (True, False):
        x, y = (edges, (0, 1)) if across else ((0, 1), edges)
        found = box(image, *(PerItem([n]) for n in (x[0], y[0], x[1], y[1]))).data[0, 0]
        line = found[0] if across else found[:, 0]
        assert line.nonzero().flatten().tolist() == expected
        assert float(found.sum()) == 8 * len(expected)
