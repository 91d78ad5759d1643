"""Somebody else's model is data: a hostile folder ends with a message and exit code 2, and none of its code runs.

docs/security.md has the promise.
"""

import io
import json
import os
import shutil
import struct
import sys
from pathlib import Path

import pytest

from flowgen.cli import main

GRAPH = """\
flowgen: 1
defaults: {model: $m}
nodes:
  m: {type: model, from: model}
  text: {type: encoder.text, text: a red three}
  noise: {type: noise, seed: 0}
  sampler: {type: scheduler.ddim, start: $noise, prediction: $cond, steps: 1}
  cond: {type: denoiser, x: $sampler.x, context: $text}
  image: {type: decoder.vae, latent: $sampler}
outputs: [image]
"""
CODE = "import pathlib\npathlib.Path('escaped').write_text('code ran')\nclass Own: pass\n"
WITHIN = {
    "model_type": "llava",
    "vision_config": {"model_type": "blip_text_model", "auto_map": {"AutoModel": "own.Own"}},
    "text_config": {"model_type": "llama", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2},
}
WITHIN["vision_config"]["name_or_path"] = "model/text_encoder"


class Folder:
    """A sound model in a folder of its own; entries of its files are changed, and the rest stays."""

    def __init__(self, source: Path, beside: Path) -> None:
        self.path = beside / "model"
        shutil.copytree(source, self.path)
        (beside / "g.yaml").write_text(GRAPH)

    def change(self, file: str, **entries: object) -> None:
        """Write other entries into one of its JSON files."""
        path = self.path / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


@pytest.fixture
def model(zoo_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Folder(zoo_folder / "digits", tmp_path)


def said(monkeypatch, capsys, command="check", *options: str) -> tuple[int, str]:
    """Exit code and words of a command; somebody would answer every question with yes."""
    monkeypatch.setattr(sys, "argv", ["flowgen", command, "g.yaml", *options])
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 9))
    code = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    shown = capsys.readouterr()
    return code, shown.out + shown.err


OWN = [f"own.{name}" for name in ("Own", "Own")]
CODES = {
    "tokeniser": ("tokenizer", ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": OWN}}), None),
    "text encoder": ("text_encoder", ("config.json", {"auto_map": {"AutoModel": "own.Own"}}), None),
    "network": ("unet", ("config.json", {"auto_map": {"AutoModel": "own.Own"}}), None),
    "attention of the Hub": ("text_encoder", ("config.json", {"attn_implementation": "own/kernel"}), None),
    "any tokeniser": (
        "tokenizer",
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": OWN}, "tokenizer_class": "Own"}),
        ["transformers", "AutoTokenizer"],
    ),
    "any text encoder": (
        "text_encoder",
        ("config.json", {"auto_map": {"AutoModel": "own.Own", "AutoConfig": "own.Own"}, "model_type": "own"}),
        ["transformers", "AutoModel"],
    ),
    "network within a text encoder": (
        "text_encoder",
        ("config.json", WITHIN),
        ["transformers", "LlavaForConditionalGeneration"],
    ),
    "any network": ("unet", ("config.json", {"auto_map": {"AutoModel": "own.Own"}}), ["diffusers", "AutoModel"]),
    "a whole pipeline": ("unet", ("config.json", {"auto_map": {}}), ["diffusers", "DiffusionPipeline"]),
}


@pytest.mark.parametrize("name", CODES)
def test_code_of_a_model_never_runs(model, monkeypatch, capsys, name):
    part, (file, entries), cls = CODES[name]
    model.change(f"{part}/{file}", **entries)
    (model.path / part / "own.py").write_text(CODE)
    if cls:
        model.change("model_index.json", **{part: cls})
    code, shown = said(monkeypatch, capsys, "run", "--store", "store", "--quiet")
    assert not Path("escaped").exists()
    assert "Do you wish" not in shown
    assert code == (2 if cls else 0), shown
    if cls and part != "text_encoder":
        assert f"'{cls[1]}' of {cls[0]} is no " in shown


def test_transformers_asks_nobody_about_code(model):
    from flowgen_nodes.models.loaders import class_of
    from torch.nn import Module
    from transformers import AutoTokenizer

    class_of({"class": "transformers:CLIPTextModel"}, Module)
    model.change("tokenizer/tokenizer_config.json", auto_map={"AutoTokenizer": OWN}, tokenizer_class="Own")
    (model.path / "tokenizer" / "own.py").write_text(CODE)
    with pytest.raises(ValueError, match="execute"):
        AutoTokenizer.from_pretrained(model.path / "tokenizer", local_files_only=True)
    assert not Path("escaped").exists()


def linked(end: str):
    """Puts a link to somewhere in a file's place."""

    def put(path: Path) -> None:
        path.unlink(missing_ok=True)
        path.symlink_to(end)

    return put


def pipe(path: Path) -> None:
    """Puts a pipe in a file's place."""
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def holding(text: bytes):
    """Puts a file with a content in a file's place."""
    return lambda path: path.write_bytes(text)


def weights(header: bytes):
    """Puts a safetensors file with a header in a file's place."""
    return holding(struct.pack("<Q", len(header)) + header)


def entries(**changes: object):
    """Changes entries of a JSON file."""
    return lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


CONFIG, SCHEDULER, UNET = (
    "unet/config.json",
    "scheduler/scheduler_config.json",
    "unet/diffusion_pytorch_model.safetensors",
)
INDEX = f"{UNET}.index.json"
SHAPED = b'{"a": {"dtype": "F32", "shape": %s, "data_offsets": [0, 0]}}'
BROKEN = {
    # what never ends
    "device as a configuration": (SCHEDULER, linked("/dev/zero"), f"{SCHEDULER} is no file"),
    "pipe as a configuration": (SCHEDULER, pipe, f"{SCHEDULER} is no file"),
    "device as an index": ("model_index.json", linked("/dev/zero"), "holds no model"),
    "device as weights": (UNET, linked("/dev/zero"), f"{UNET} is no file"),
    "pipe as weights": (UNET, pipe, f"{UNET} is no file"),
    "pipe as an index of weights": (INDEX, pipe, f"{INDEX} is no file"),
    "pipe as words": ("tokenizer/vocab.json", pipe, "tokenizer/vocab.json is no file"),
    "device as words": ("tokenizer/tokenizer.json", linked("/dev/zero"), "tokenizer/tokenizer.json is no file"),
    "pipe as what a tokeniser says": ("tokenizer/tokenizer_config.json", pipe, "tokenizer_config.json is no file"),
    "link to itself": (SCHEDULER, linked("scheduler_config.json"), f"can't read MODEL/{SCHEDULER}"),
    # what is too much
    "many timesteps": (
        SCHEDULER,
        entries(num_train_timesteps=10**9),
        f"{SCHEDULER} has 'num_train_timesteps' 10000000",
    ),
    "no timesteps": (SCHEDULER, entries(num_train_timesteps="all"), f"{SCHEDULER} has 'num_train_timesteps' 'all'"),
    "large configuration": (CONFIG, holding(b" " * (17 << 20)), f"{CONFIG} is larger than 16 MiB"),
    "deep configuration": (CONFIG, holding(b"[" * 200_000), f"can't read MODEL/{CONFIG}: it is nested too deep"),
    "rather deep configuration": (
        CONFIG,
        holding(b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}"),
        f"can't read MODEL/{CONFIG}: it is nested too deep",
    ),
    # what isn't as it should be
    "configuration that is a list": (CONFIG, holding(b"[1]"), "it holds a list, not a mapping"),
    "configuration of another kind": (CONFIG, entries(block_out_channels=5), "the part 'unet' can't be built as its"),
    "autoencoder of another kind": ("vae/config.json", entries(block_out_channels=5), "looked at the JSON files in"),
    "part without a class": ("model_index.json", entries(unet=["diffusers"]), 'model_index.json says "unet": ['),
    "part of a list": ("model_index.json", entries(unet=[["diffusers"], "UNet2DConditionModel"]), '"unet": ['),
    "part that is no class": ("model_index.json", entries(unet=["diffusers", "__version__"]), "is no network's class"),
    "index without a map": (INDEX, holding(b"{}"), f"{INDEX} lists no weights"),
    "index of numbers": (INDEX, holding(b'{"weight_map": {"a": 1}}'), f"{INDEX} lists no weights"),
    "index that isn't JSON": (INDEX, holding(b"weights"), f"can't read MODEL/{INDEX}"),
    "header that is a list": (UNET, weights(b"[1]"), f"{UNET} is not a safetensors file"),
    "header of numbers": (UNET, weights(b'{"a": 1}'), "its header doesn't say where 'a' is"),
    "header without a shape": (UNET, weights(SHAPED.replace(b"shape", b"form") % b"[]"), "its header doesn't say"),
    "header with a shape in words": (UNET, weights(SHAPED % b'["wide"]'), "its header doesn't say where 'a' is"),
    "header with a huge shape": (UNET, weights(SHAPED % b"[%d]" % 10**40), "its header doesn't say where 'a' is"),
    "header of a long header": (UNET, holding(struct.pack("<Q", 10**15)), "the header is longer than the file"),
    "no header": (UNET, holding(b""), f"{UNET} is not a safetensors file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_folder_ends_in_a_message(model, monkeypatch, capsys, name):
    file, put, words = BROKEN[name]
    put(model.path / file)
    code, shown = said(monkeypatch, capsys)
    assert code == 2
    assert shown.startswith("error: g.yaml:")
    assert words.replace("MODEL", str(model.path)) in shown
    assert "shapes or dtypes" not in shown
    assert len(shown) < 2000


def test_timesteps_that_a_graph_changes_have_the_same_bound(model, monkeypatch, capsys):
    many = "{num_train_timesteps: 1000000000}"
    for old, new in (
        ("from: model", f"from: model, scheduler: {many}"),
        ("scheduler.ddim,", f"scheduler.diffusers, class: DDIMScheduler, options: {many},"),
    ):
        Path("g.yaml").write_text(GRAPH.replace(old, new))
        code, shown = said(monkeypatch, capsys)
        assert code == 2
        assert "has 'num_train_timesteps' 1000000000, not a whole number from 1 to 1000000" in shown


def test_statistics_that_are_a_pipe_end_in_a_message(zoo_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("real").mkdir()
    os.mkfifo("real/statistics.safetensors")
    nodes = "  m: {type: model, from: MODEL}\n  r: {type: reference, from: real, model: $m}\n"
    nodes = nodes.replace("MODEL", str(zoo_folder / "digits-classifier"))
    Path("g.yaml").write_text(f"flowgen: 1\nnodes:\n{nodes}outputs: [r]\n")
    code, shown = said(monkeypatch, capsys)
    assert code == 2
    assert "statistics.safetensors is no file" in shown
