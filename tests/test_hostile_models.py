"""Somebody else's model is data: a hostile folder ends with a message and exit code 2, and none of its code runs.

docs/security.md has the promise.
"""

import io
import json
import shutil
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
