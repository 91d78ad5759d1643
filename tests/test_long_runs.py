"""A run in a process of its own: detached, watched, stopped, killed, gone on with; and what docs/long_runs.md shows."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from small import Lab
from test_crash_often import TOY

from flowgen.cli import flowgen as command
from flowgen.cli.detach import ENDED, PLANNED, READY, killed, said
from flowgen.execute.event_log import read_records
from flowgen.results.runs import look

ROOT = Path(__file__).parents[1]
SLOW = '''\
"""Numbers that take their time."""
import time

import torch

from flowgen.node import node
from flowgen.values import PerItem, Score
from flowgen.values.random import is_abstract


@node("number", stored=True)
def number(value: int, other: PerItem[int]) -> Score:
    """The number and another, after a while."""
    if not is_abstract():
        time.sleep(0.2)
    numbers = [float(value + v) for v in other.values]
    return Score(torch.tensor(numbers), torch.ones(len(numbers), dtype=torch.long))
'''
GRAPH = """\
flowgen: 1
sweep: {value: {range: 100}, other: [1, 2]}
nodes:
  one: {type: ./own.py:number, value: $value, other: $other}
outputs: [one]
"""
ITEMS = 200
"""two a task, since 'value' is the same for all that share one"""


def flowgen(folder, *arguments):
    """A command of its own process."""
    call = [sys.executable, "-c", "from flowgen.cli import main; main()", *map(str, arguments)]
    return subprocess.run(call, capture_output=True, text=True, cwd=folder, timeout=300, check=False)


def asked(folder, *arguments):
    """What a command prints, in this process."""
    return CliRunner().invoke(command, [*arguments, "--runs", str(folder / "runs")], catch_exceptions=False).output


def until_done(folder, items):
    """Wait until a run has so many items."""
    for _ in range(600):
        if look(folder).course.done >= items:
            return
        time.sleep(0.1)
    raise AssertionError(asked(folder.parent.parent, "logs"))


@pytest.mark.slow
def test_a_detached_run_is_watched_stopped_killed_and_gone_on_with(tmp_path):
    (tmp_path / "own.py").write_text(SLOW)
    (tmp_path / "g.yaml").write_text(GRAPH)
    arguments = ["run", "g.yaml", "--import", "own.py", "--store", "store", "--detach"]
    started = flowgen(tmp_path, *arguments)
    assert started.returncode == 0, started.stderr
    assert f"{ITEMS} of {ITEMS} items to compute" in started.stdout
    folder = tmp_path / started.stdout.splitlines()[-1]
    seen = look(folder)
    assert (seen.state, seen.here) == ("running", True)
    assert os.getsid(seen.course.about["pid"]) == seen.course.about["pid"]
    until_done(folder, 4)
    assert "running" in asked(tmp_path, "status")
    assert re.search(r"one .* \d+/200", asked(tmp_path, "status", "last"))
    stopped = asked(tmp_path, "stop", "last")
    first = look(folder)
    assert (first.state, first.gone) == ("stopped", False)
    assert f"stopped; {first.course.kept} of {ITEMS} items are computed and kept" in stopped
    assert ITEMS > first.course.kept == first.course.done
    assert re.search(rf"one .* {first.course.kept}/200", asked(tmp_path, "status", "last"))
    assert (folder / "run.log").read_text() == ""  # the events say it
    lines = asked(tmp_path, "logs", "last", "--follow").splitlines()
    assert any("one: 2 items in 0.2" in line for line in lines)
    assert ["stopped after" in line for line in lines] == [False] * (len(lines) - 1) + [True]
    assert f"; computed {first.course.kept} of {ITEMS} items" in lines[-1]

    page = (ROOT / "docs/clusters.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^    (out=\$\(flowgen run .*--detach.*\))$", page, flags=re.MULTILINE)
    here = line.replace("GRAPH --cluster slurm.toml --tls certs --wait 2h", "g.yaml --import own.py --store store")
    script = f"""flowgen() {{ "$0" -c 'from flowgen.cli import main; main()' "$@"; }}; {here}; printf '<%s>' "$out" """
    again = subprocess.run(
        ["bash", "-c", script, sys.executable], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    folder = tmp_path / again.stdout[1:-1]
    assert again.stdout == f"<{folder.relative_to(tmp_path)}>"
    assert look(folder).course.known == first.course.kept
    until_done(folder, 2)
    os.kill(look(folder).course.about["pid"], signal.SIGKILL)
    while look(folder).here:
        time.sleep(0.02)
    second = look(folder)
    assert (second.state, second.gone) == ("stopped", True)
    assert "stopped: its process is gone" in asked(tmp_path, "status", "last")
    assert read_records(folder / "events.jsonl")[0][-1]["event"] == "parcel"
    left = CliRunner().invoke(command, ["plan", str(tmp_path / "g.yaml"), "--import", str(tmp_path / "own.py"),
                                        "--store", str(tmp_path / "store"), "--json"])  # fmt: skip
    assert json.loads(left.output)["compute"] <= ITEMS - first.course.kept - second.course.done


@pytest.mark.slow
def test_a_mistake_ends_the_command_and_leaves_nothing_behind(tmp_path):
    (tmp_path / "g.yaml").write_text(GRAPH.replace("outputs: [one]", "outputs: [two]"))
    done = flowgen(tmp_path, "run", "g.yaml", "--detach")
    assert done.returncode == 2
    assert done.stderr.count("g.yaml:5:11") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_cluster_that_cannot_be_reached_ends_the_command(tmp_path):
    (tmp_path / "own.py").write_text(SLOW)
    (tmp_path / "g.yaml").write_text(GRAPH)
    where = ("--cluster", "tcp://127.0.0.1:1", "--wait", "1")
    done = flowgen(tmp_path, "run", "g.yaml", "--import", "own.py", "--detach", *where)
    assert done.returncode == 2
    assert done.stderr.count("no Dask scheduler answers at tcp://127.0.0.1:1") == 1
    assert look(next((tmp_path / "runs").iterdir())).state == "failed"


def test_a_process_that_is_killed_before_it_has_workers_is_told(tmp_path):
    (tmp_path / "own.py").write_text(f"import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n{SLOW}")
    (tmp_path / "g.yaml").write_text(GRAPH)
    done = flowgen(tmp_path, "run", "g.yaml", "--import", "own.py", "--detach")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "the run's process was ended by signal 9 (SIGKILL)\n"
    assert killed(9, "runs/one") == "the run's process was ended by signal 9 (SIGKILL); its folder is runs/one"
    assert "signal 40 " in killed(40, "")  # real-time signals have no names


@pytest.mark.parametrize(
    ("words", "ends", "told"),
    [
        ("runs/one\nplanned\nready\n", False, ("runs/one", READY)),
        ("runs/one\nplanned\n", False, ("runs/one", PLANNED)),
        ("runs/one\nplanned\n", True, ("runs/one", ENDED)),
        ("", True, ("", ENDED)),
    ],
)
def test_who_waits_for_workers_that_do_not_come_is_let_go(monkeypatch, words, ends, told):
    monkeypatch.setattr("flowgen.cli.detach.PATIENCE", 0.1)
    reading, writing = os.pipe()
    os.write(writing, words.encode())
    if ends:
        os.close(writing)
    assert said(reading) == told
    for pipe in (reading,) if ends else (reading, writing):
        os.close(pipe)


@pytest.mark.slow
def test_the_commands_of_the_page(tmp_path, monkeypatch):
    (tmp_path / "graphs").symlink_to(ROOT / "graphs")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/long_runs.md").read_text(encoding="utf-8")
    lines = [line.split("#")[0].strip() for line in page.splitlines() if line.startswith("    flowgen ")]
    for line in lines:
        result = CliRunner().invoke(command, shlex.split(line)[1:], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    assert {line.split()[1] for line in lines} == {"run", "status", "logs", "stop"}
    (tmp_path / "look.py").write_text("\n".join(re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)))
    shown = subprocess.run([sys.executable, "look.py"], capture_output=True, text=True, check=True)
    assert "sampler" in shown.stdout


def test_the_page_describes_every_event_and_field(tmp_path):
    page = (ROOT / "docs/long_runs.md").read_text(encoding="utf-8")
    records, _ = read_records(Lab(tmp_path, tmp_path).run(TOY).folder / "events.jsonl")
    rows = [line for line in page.splitlines() if line.startswith("| `") and line.count(" | ") == 2]
    for found in records:
        (row,) = (line for line in rows if f"`{found['event']}`" in line.split(" | ")[0])
        for name in found:
            assert f"`{name}`" in row or name in ("v", "time", "event"), (found["event"], name)
