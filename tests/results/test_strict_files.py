"""The files of a run's folder as other programs read them."""

import json

import pytest
import torch
from click.testing import CliRunner
from small import Lab

from flowgen.cli import flowgen as command
from flowgen.node import node
from flowgen.results.files import write_json
from flowgen.values import PerItem, Score
from flowgen.values.random import is_abstract

INFINITE = """\
flowgen: 1
inputs: {limit: .inf, others: [1, -.inf, .nan]}
sweep: {v: [1, .inf]}
nodes:
  length: {type: files.length, text: "${v} of ${limit}"}
outputs: [length]
"""


@node("files.length", stored=True)
def length(text: PerItem[str]) -> Score:
    """The length of a text, which mustn't begin with inf."""
    if not is_abstract() and any(found.startswith("inf") for found in text.values):
        raise ValueError("no end")
    return Score(torch.tensor([float(len(found)) for found in text.values]), torch.ones(len(text.values)).long())


def read(text):
    """A value as a reader takes it that knows JSON alone."""

    def refused(constant):
        raise ValueError(constant)

    return json.loads(text, parse_constant=refused)


@pytest.fixture
def lab(tmp_path, zoo_folder):
    return Lab(tmp_path, zoo_folder)


def test_numbers_that_json_lacks_are_texts(tmp_path):
    path = write_json(tmp_path / "a.json", {"a": [float("inf"), float("nan"), 0.5]})
    assert read(path.read_text()) == {"a": ["inf", "nan", 0.5]}


def test_infinite_inputs_and_labels_are_no_trouble_to_readers(lab):
    folder = lab.run(INFINITE).folder
    found = read((folder / "resolved.json").read_text())
    assert found["inputs"] == {"limit": "inf", "others": [1, "-inf", "nan"]} and found["axes"] == {"v": [1, "inf"]}
    assert read((folder / "provenance.json").read_text())["failures"][0]["point"] == {"v": "inf"}
    for line in (folder / "events.jsonl").read_text().splitlines():
        read(line)


def test_infinite_labels_in_answers(lab):
    lab.load(INFINITE)
    asked = ["why", str(lab.folder / "g.yaml"), "length[v=inf]", "--json", "--store", str(lab.store)]
    answer = read(CliRunner().invoke(command, asked, catch_exceptions=False).stdout)
    assert answer["reasons"][0]["point"] == {"v": "inf"}
