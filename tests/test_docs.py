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


@pytest.mark.slow
def test_the_readme_from_its_first_command_to_its_last(tmp_path, monkeypatch, capsys):
    (tmp_path / "graphs").symlink_to(ROOT / "graphs")
    monkeypatch.chdir(tmp_path)
    outputs = []
    for line in commands("README.md"):
        result = CliRunner().invoke(command, shlex.split(line)[1:], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        if " run " in line:
            outputs.append(result.output)
            assert (tmp_path / result.output.strip().splitlines()[-1] / "report.html").is_file()
    assert "computed 3884 items" in outputs[0]
    assert "computed 0 items" in outputs[1]
    (tmp_path / "readme.py").write_text("\n".join(blocks("README.md", "python")))
    runpy.run_path("readme.py")
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
