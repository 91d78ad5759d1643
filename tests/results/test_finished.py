"""``flowgen show`` on folders that aren't as their run left them: a sentence and exit code 2, never a traceback."""

import json
import shutil

import pytest
from click.testing import CliRunner
from small import Lab

from flowgen.cli import flowgen
from flowgen.errors import UserError


@pytest.fixture(scope="module")
def whole(tmp_path_factory, zoo_folder):
    lab = Lab(tmp_path_factory.mktemp("whole"), zoo_folder)
    return lab.run().folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "runs" / whole.name)


def show(folder):
    return CliRunner().invoke(flowgen, ["show", str(folder)])


def without(name):
    def change(folder):
        about = json.loads((folder / "provenance.json").read_text())
        del about[name]
        (folder / "provenance.json").write_text(json.dumps(about))

    return change


def cut(data):
    return data[:-1]


def flipped(data):
    return bytes([*data[:-6], data[-6] ^ 1, *data[-5:]])


def chunks(name, change):
    def damage(folder):
        for path in (folder / "results.zarr" / name / "c").rglob("*"):
            if path.is_file():
                path.write_bytes(change(path.read_bytes()))

    return damage


DAMAGE = {
    "no JSON": lambda folder: (folder / "provenance.json").write_text("{"),
    "no text": lambda folder: (folder / "provenance.json").write_bytes(b"\xff\xfe\x00"),
    "empty": lambda folder: (folder / "provenance.json").write_text(""),
    "a list": lambda folder: (folder / "provenance.json").write_text("[]"),
    "no nodes": without("nodes"),
    "no failures": without("failures"),
    "no results": lambda folder: shutil.rmtree(folder / "results.zarr"),
    "results without their description": lambda folder: (folder / "results.zarr" / "zarr.json").write_text(""),
    "numbers cut short": chunks("fid", cut),
    "a flipped bit": chunks("fid", flipped),
    "a flipped bit in a number of each picture": chunks("clip", flipped),
    "a flipped bit in labels": chunks("guidance", flipped),
    "a flipped bit in texts": chunks("prompt", flipped),
}


def test_a_whole_folder_is_shown(folder):
    done = show(folder)
    assert done.exit_code == 0
    assert "fid" in done.output


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_said(folder, damage):
    DAMAGE[damage](folder)
    done = show(folder)
    assert isinstance(done.exception, UserError), done.exception
    assert f"'{folder}' isn't as its run left it: " in str(done.exception)


def test_nothing_in_a_folder_speaks_to_the_terminal(folder):
    about = json.loads((folder / "provenance.json").read_text())
    about["finished"] = "now\x1b[2J"
    about["files"] = {"[red]\x1b]0;x\x07": ["\x1b[31mname.png"]}
    (folder / "provenance.json").write_text(json.dumps(about))
    done = show(folder)
    assert "\x1b" not in done.output
    assert "[red]" in done.output
