"""Somebody else's graph is data: a hostile one ends with a message and exit code 2, runs nothing and writes nothing.

docs/security.md has the promise.
"""

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from flowgen.cli import main

GRAPH = """\
flowgen: 1
sweep:
  side: [8, 16]
nodes:
  photo: {type: image.load, file: photo.png}
  sized: {type: image.resize, image: $photo, width: $side, height: $side}
outputs: {sized: {from: $sized, save: "png/{side}.png"}}
"""
CODE = "import pathlib\npathlib.Path('escaped').write_text('code ran')\n"


def saved(name: str) -> str:
    """The graph with files written elsewhere."""
    return GRAPH.replace('"png/{side}.png"', name)


def axis(text: str) -> str:
    """The graph with another axis."""
    return GRAPH.replace("[8, 16]", text)


def photo(text: str) -> str:
    """The graph with another picture."""
    return GRAPH.replace("file: photo.png", f"file: {text}")


def model(name: str) -> str:
    """A graph with a model from a folder."""
    nodes = "  m: {type: model, from: " + name + "}\n  noise: {type: noise, model: $m, seed: 0}\n"
    return f"flowgen: 1\nnodes:\n{nodes}outputs: [noise]\n"


def png(width: int, height: int) -> bytes:
    """The start of a picture that says it is so large."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 1000)
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


LAUGHS = "a: &a [lol, lol]\n" + "".join(
    f"{c}: &{c} [*{p}, *{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {k: 1}\n" + "".join(f"{c}: &{c} {{<<: [*{p}, *{p}]}}\n" for p, c in zip("abcd", "bcde", strict=True))

HOSTILE = {
    # files beyond the run's folder
    "traversal": (saved('"../escaped.png"'), "leaves the run's folder"),
    "traversal inside": (saved('"png/../../escaped.png"'), "leaves the run's folder"),
    "absolute": (saved('"/tmp/flowgen-escaped.png"'), "leaves the run's folder"),
    "home": (saved('"~/flowgen-escaped.png"'), "leaves the run's folder"),
    "drive": (saved("'C:/flowgen-escaped.png'"), "leaves the run's folder"),
    "backslashes": (saved("'..\\escaped.png'"), "a character that file names can't"),
    "hidden": (saved('".bashrc"'), "is no name of a file or folder"),
    "control characters": (saved('"a\\u0007.png"'), "a character that file names can't"),
    "attribute of a label": (saved('"{side.__class__}.png"'), "is no place for a label"),
    "index of a label": (saved('"{side[0]}.png"'), "is no place for a label"),
    "nested format": (saved('"{side:{side}}.png"'), "is no place for a label"),
    "over the results": (saved('"results.zarr/zarr.json"'), "results.zarr"),
    "wide format": (saved('"{side:999999999}.png"'), "is wider than a file's name"),
    "precise format": (saved('"{side:.999999999f}.png"'), "is wider than a file's name"),
    # code
    "python object": (GRAPH + "x: !!python/object/apply:os.system ['touch escaped']\n", "the tag"),
    "python name": (GRAPH.replace("photo.png", "!!python/name:os.system photo.png"), "the tag"),
    "own tag": (GRAPH.replace("flowgen: 1", "flowgen: !eval 1"), "the tag"),
    "code that isn't allowed": (GRAPH.replace("image.resize", "./evil.py:f"), "which you haven't allowed"),
    "zero byte in the name of code": (GRAPH.replace("image.resize", '"./a\\0.py:f"'), "is no path"),
    "zero byte in the name of a graph": (GRAPH.replace("image.resize", '"./a\\0.yaml"'), "is no path"),
    "code by its whole path": (GRAPH.replace("image.resize", "/etc/evil.py:f"), "which you haven't allowed"),
    "module as a type": (GRAPH.replace("image.resize", "os.system"), "no node type"),
    "dunder as a type": (GRAPH.replace("image.resize", "__import__"), "no node type"),
    "expression": (saved("\"${__import__('os').system('touch escaped')}.png\""), "no dollar here"),
    "expression in a text": (photo('"${().__class__}.png"'), "is not a placeholder"),
    "scheduler of another library": (
        GRAPH.replace("type: image.resize, image: $photo,", "type: scheduler.diffusers, cls: os.system, x: $photo,"),
        "",
    ),
    "model of any class": (model("any_class"), "names no part 'unet'"),
    "model with code": (model("with_code"), "names no part 'unet'"),
    "pickled weights": (model("pickled"), "--allow-pickle"),
    # bombs
    "laughs": (LAUGHS, "anchors and aliases"),
    "merges": (MERGES, "anchors and aliases"),
    "deep": ("a: " + "[" * 5000, "nested deeper"),
    "long number": (axis("[" + "9" * 5000 + "]"), ""),
    "huge exponent": (axis("[1e999]"), ""),
    "large file": ("# " + "x" * 9_000_000, "larger than 8 MB"),
    "endless file": ("flowgen: 1\nextends: /dev/zero\n", "not a file"),
    "pipe": ("flowgen: 1\nextends: pipe\n", "not a file"),
    "itself": ("flowgen: 1\nextends: g.yaml\n", "in a circle"),
    "graph in itself": (GRAPH.replace("type: image.resize, image: $photo, ", "type: ./g.yaml, "), ""),
    "many points": (axis("{range: 1000000000000}"), "more than"),
    "many numbers": (axis("{linspace: [0, 1, 1000000000000]}"), ""),
    "endless lines": (axis("{lines: /dev/zero}"), "not a file"),
    "pipe of lines": (axis("{lines: pipe}"), "not a file"),
    "long line": (axis("{lines: long.txt}"), "longer than"),
    "binary": ("\0" * 100, "not valid YAML"),
    "not text": (b"\xff\xfe\xfa", "not UTF-8"),
    # sizes
    "huge shape": (axis("[1000000000]"), "the most that one side may have"),
    "negative shape": (axis("[-8]"), ""),
    "large picture": (photo("large.png"), "is no picture that can be read"),
    "larger picture": (photo("larger.png"), "is no picture that can be read"),
    "damaged picture": (photo("damaged.png"), "is no picture that can be read"),
    "endless picture": (photo("/dev/zero"), ""),
    "pipe as a picture": (photo("pipe"), ""),
    "folder as a picture": (photo("with_code"), ""),
    # links that came with the graph
    "link to a device as a picture": (photo("zero.png"), "neither a file nor a folder"),
    "link to a pipe as a picture": (photo("linked/pipe"), "neither a file nor a folder"),
    "link to a device as lines": (axis("{lines: zero.png}"), "not a file"),
    "link to a device as a graph": ("flowgen: 1\nextends: zero.png\n", "not a file"),
    "link to itself as a picture": (photo("circle.png"), "circle.png"),
    "link to itself as lines": (axis("{lines: circle.png}"), "circle.png"),
    "link to itself as a graph": ("flowgen: 1\nextends: circle.png\n", "circle.png"),
    "maze of links": (axis('{files: "maze/**/*.png"}'), "more than 100000 folders"),
    "maze of links by stars": (axis("{files: 'maze/%sx.png'}" % ("*/" * 30)), "more than 100000 folders"),
    "up and down": (axis("{files: '%s*.png'}" % ("/*/.." * 9 + "/")), "behind a wildcard"),
    "up from any depth": (axis("{files: 'maze/**/../../../**/*.png'}"), "behind a wildcard"),
    "long pattern": (axis("{files: '%s'}" % ("[" * 1_000_000)), "at most 4096 characters"),
    "address": (photo("https://example.org/photo.png"), "is an address"),
}


@pytest.fixture(scope="module")
def beside(tmp_path_factory) -> Path:
    """What hostile graphs name, in the folder that they lie in."""
    folder = tmp_path_factory.mktemp("hostile")
    Image.new("RGB", (24, 24), "teal").save(folder / "photo.png")
    (folder / "large.png").write_bytes(png(20_000, 20_000))
    (folder / "larger.png").write_bytes(png(2**31 - 1, 2**31 - 1))
    short = b"IHDR\0\0\0\1"
    (folder / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\4" + short + struct.pack(">I", zlib.crc32(short)))
    (folder / "long.txt").write_text("x" * 1_000_001)
    (folder / "evil.py").write_text(CODE + "def f(image): return image\n")
    os.mkfifo(folder / "pipe")
    (folder / "maze").mkdir()
    links = {"zero.png": "/dev/zero", "linked": folder, "circle.png": "circle.png", "maze/a": ".", "maze/b": "."}
    for link, end in links.items():
        (folder / link).symlink_to(end)
    for name in ("any_class", "with_code", "pickled"):
        (folder / name / "unet").mkdir(parents=True)
    classes = '{"_class_name": "StableDiffusionPipeline", "unet": %s}'
    (folder / "any_class" / "model_index.json").write_text(classes % '["os", "system"]')
    (folder / "with_code" / "model_index.json").write_text(classes % '["evil", "Net"]')
    (folder / "with_code" / "evil.py").write_text(CODE)
    (folder / "with_code" / "unet" / "config.json").write_text('{"auto_map": {"AutoModel": "evil.Net"}}')
    (folder / "pickled" / "model_index.json").write_text(classes % '["diffusers", "UNet2DConditionModel"]')
    (folder / "pickled" / "unet" / "config.json").write_text("{}")
    (folder / "pickled" / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch escaped'\ntR.")
    return folder


def there(folder: Path) -> dict[str, float]:
    """All files below a folder, with the time of their last change."""
    return {str(path): path.lstat().st_mtime for path in folder.rglob("*") if "store" not in path.parts}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_graph_ends_in_a_message(beside, monkeypatch, capsys, name):
    text, said = HOSTILE[name]
    (beside / "g.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    monkeypatch.chdir(beside)
    monkeypatch.setattr(sys, "argv", ["flowgen", "run", "g.yaml", "--store", "store", "--quiet"])
    before = there(beside)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert len(error) < 2000
    assert there(beside) == before


def test_settings_that_lead_in_a_circle_are_said(beside, monkeypatch, capsys):
    monkeypatch.chdir(beside)
    (beside / "g.yaml").write_text(GRAPH)
    (beside / "flowgen.toml").write_text('store = "circle.png"\nruns = "circle.png"\n')
    monkeypatch.setattr(sys, "argv", ["flowgen", "run", "g.yaml"])
    before = there(beside)
    with pytest.raises(SystemExit) as ended:
        main()
    (beside / "flowgen.toml").unlink()
    assert ended.value.code == 2
    assert "circle.png" in capsys.readouterr().err
    assert there(beside) == {name: when for name, when in before.items() if not name.endswith("flowgen.toml")}


def test_the_graph_that_they_are_made_from_is_sound(beside, tmp_path, monkeypatch, capsys):
    (beside / "g.yaml").write_text(GRAPH)
    (beside / "png").symlink_to(tmp_path)  # of the name that its output has
    monkeypatch.chdir(beside)
    monkeypatch.setattr(sys, "argv", ["flowgen", "run", "g.yaml", "--store", "store", "--quiet", "--set", "side=8"])
    main()
    folder = beside / capsys.readouterr().out.strip().splitlines()[-1]
    assert [path.name for path in (folder / "png").iterdir()] == ["8.png"]
    assert list(tmp_path.iterdir()) == []
    assert len(HOSTILE) >= 30


NEAR = '''\
"""Numbers, from a module of the user's own."""
import torch
from beside_all import TEN

from flowgen.node import node
from flowgen.values import PerItem, Score


@node("near", stored=True)
def near(value: PerItem[int]) -> Score:
    """The number and ten."""
    return Score(torch.tensor([float(v + TEN) for v in value.values]), torch.ones(len(value.values), dtype=torch.long))
'''


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_modules_beside_a_graph_are_none(tmp_path, workers):
    """Not for the processes that a run starts either; what the user names, and what is on PYTHONPATH, is."""
    came, mine = tmp_path / "came", tmp_path / "mine"
    for folder in (came, mine):
        folder.mkdir()
    for name in {*sys.stdlib_module_names, "yaml", "numpy", "torch", "dask", "distributed", "flowgen", "flowgen_nodes"}:
        (came / f"{name}.py").write_text(f"open({str(came / 'escaped')!r}, 'a').write(__name__ + ' ')\n")
    (mine / "own.py").write_text(NEAR)
    (mine / "beside_all.py").write_text("TEN = 10\n")
    graph = "flowgen: 1\nsweep: {v: [1, 2]}\nnodes:\n  one: {type: ../mine/own.py:near, value: $v}\noutputs: [one]\n"
    (came / "g.yaml").write_text(graph)
    (tmp_path / "command").write_text("from flowgen.cli import main\nmain()\n")  # as the installed one is
    call = [sys.executable, str(tmp_path / "command"), "run", "g.yaml", "--import", str(mine / "own.py"), "--quiet"]
    call += ["--workers", str(workers), "--store", "store"]
    paths = os.pathsep.join([str(mine), *filter(None, [os.environ.get("PYTHONPATH")])])
    ended = subprocess.run(
        call,
        cwd=came,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert not (came / "escaped").exists(), (came / "escaped").read_text()
    assert ended.returncode == 0, ended.stderr
    (folder,) = (came / "runs").iterdir()
    assert (folder / "provenance.json").exists()
