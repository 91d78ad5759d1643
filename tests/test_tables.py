"""Tables that commands print: numbers stay whole however narrow a terminal is, and a pipe gets no padding."""

import io

import pytest
from click.testing import CliRunner
from rich.console import Console
from small import SMALL, Lab

from flowgen.cli import flowgen as command
from flowgen.cli.plan_table import COLUMNS, WORDS, plan_table, row


@pytest.fixture
def lab(tmp_path, zoo_folder):
    return Lab(tmp_path, zoo_folder)


def test_a_plans_numbers_are_whole_at_every_width(lab):
    made = lab.plan(SMALL.replace("steps: 4", "steps: 500"))
    shown = set()
    for width in range(50, 181):
        console = Console(width=width, record=True, file=io.StringIO())
        table = plan_table(made, width)
        console.print(table)
        lines = console.export_text().splitlines()
        assert max(map(len, lines)) <= width
        kept = [str(column.header) for column in table.columns]
        shown.add(len(kept))
        ends = {}  # of columns of numbers, which stand at the right
        for name in kept:
            ends[name] = lines[0].index(name, max(ends.values(), default=0)) + len(name)
        by_node = {line.split()[0]: line for line in lines[1:] if not line.startswith(" " * 4)}
        for name in made.nodes:
            for column, cell in row(made, name).items():
                if column in ends and column not in WORDS:
                    assert by_node[name][: ends[column]].endswith(f" {cell.plain}"), (width, column)
    assert shown == set(range(min(shown), len(COLUMNS) + 1))


def test_a_pipe_gets_tables_as_wide_as_they_are(lab, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    done = lab.run(SMALL.replace("[image, clip, fid]", "[text]"))
    options = ["--runs", str(lab.runs)]
    for arguments in (["plan", str(lab.folder / "g.yaml"), "--store", str(lab.store)], ["status", *options],
                      ["status", done.folder.name, *options], ["nodes"], ["nodes", "noise"]):  # fmt: skip
        said = CliRunner().invoke(command, arguments, catch_exceptions=False).output
        assert said.strip()
        assert [line for line in said.splitlines() if line != line.rstrip()] == []
    assert "━" not in CliRunner().invoke(command, ["status", "last", *options], catch_exceptions=False).output
