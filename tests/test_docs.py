"""What README and docs show is run."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from flowgen.cli import flowgen as command

ROOT = Path(__file__).parents[1]


def blocks(file: str, language: str) -> list[str]:
    """A page's code blocks of a language."""
    text = (ROOT / file).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(file: str) -> list[str]:
    """The flowgen commands of a page's indented blocks."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    return [line.split("#")[0].strip() for line in lines if line.startswith("    flowgen ")]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder as a user has it after cloning, with runs and store of its own."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "graphs").symlink_to(ROOT / "graphs")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("line", commands("README.md"))
def test_commands_of_the_readme(place, monkeypatch, line):
    monkeypatch.chdir(place)
    result = CliRunner().invoke(command, shlex.split(line)[1:], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    if " run " in line:
        assert (place / result.output.strip().splitlines()[-1] / "report.html").is_file()


@pytest.mark.slow
def test_python_of_the_readme(place, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(place)
    (tmp_path / "readme.py").write_text("\n".join(blocks("README.md", "python")))
    runpy.run_path(str(tmp_path / "readme.py"))
    assert "fid" in capsys.readouterr().out


def test_a_node_of_your_own(monkeypatch, tmp_path, capsys):
    node, use = blocks("docs/own-nodes.md", "python")
    (tmp_path / "sharpness.py").write_text(node)
    assert len([line for line in node.splitlines() if line.strip()]) <= 10
    (tmp_path / "use.py").write_text(use)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    found = runpy.run_path("use.py")["run"].results.sharp
    assert found.sizes == {"seed": 4, "guidance": 2}
    assert (found.values > 0).all()
    sys.modules.pop("sharpness")


def test_every_example_is_sound():
    for graph in sorted((ROOT / "graphs").glob("*.yaml")):
        result = CliRunner().invoke(command, ["check", str(graph)], catch_exceptions=False)
        assert result.exit_code == 0
        assert "is sound" in result.output
