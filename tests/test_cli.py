"""The command line: what it prints, its exit codes, what it leaves alone."""

import contextlib
import os
import pty
import select
import subprocess
import sys

import psutil
import pytest
from click.testing import CliRunner
from rich.console import Console
from small import SMALL, Lab

from flowgen.cli import flowgen as command
from flowgen.cli import main
from flowgen.cli.options import doing, read_settings, read_sweep
from flowgen.errors import UserError
from flowgen.execute.progress import Silent, progress
from flowgen.results.runs import look

FAST = SMALL.replace("range: 3", "range: 2").replace(", a blue seven on a yellow background", "")


NUMBER = '''\
"""Numbers."""
import torch

from flowgen.node import node
from flowgen.values import Score


@node("number", stored=True)
def number(value: int) -> Score:
    """The number."""
    return Score(torch.tensor([float(value)]), torch.ones(1, dtype=torch.long))
'''
TOY = """\
flowgen: 1
sweep: {value: {range: 3}}
nodes:
  one: {type: ./own.py:number, value: $value}
outputs: [one]
"""


def flowgen(*arguments, cwd=None):
    """The command in a process of its own."""
    call = [sys.executable, "-c", "from flowgen.cli import main; main()", *map(str, arguments)]
    return subprocess.run(call, capture_output=True, text=True, cwd=cwd, timeout=300, check=False)


@pytest.mark.parametrize("call", [["status"], ["check", "/g.yaml"], ["nodes"], ["config"]], ids=" ".join)
def test_a_current_folder_that_is_gone_is_said(tmp_path, call):
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"import os; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r}); from flowgen.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *call], capture_output=True, text=True, check=False)
    said = "error: the current folder is gone: somebody removed it\n  'cd' into one that there is\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_help_needs_no_torch():
    code = "import sys; sys.argv=['flowgen','--help']\nfrom flowgen.cli import flowgen\ntry:\n flowgen()\n"
    code += "except SystemExit: pass\nassert 'torch' not in sys.modules and 'pydantic' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    commands = "check plan why run status logs stop show nodes cache cluster config"
    for name in commands.split():
        assert f"\n  {name} " in done.stdout


def test_a_run_ends_with_its_folder_and_plain_lines(tmp_path, zoo_folder):
    Lab(tmp_path, zoo_folder).load(FAST)
    done = flowgen("run", "g.yaml", "--store", "cache", "--runs", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    folder = tmp_path / lines[-1]
    assert folder.parent == tmp_path / "out"
    assert {p.name for p in folder.iterdir()} >= {
        "results.zarr", "report.html", "provenance.json", "events.jsonl", "graph.yaml", "resolved.json", "images",
    }  # fmt: skip
    assert any(line.startswith("sampler: 4/4") for line in lines)
    assert "writing results" in lines
    assert "\x1b" not in done.stdout
    again = CliRunner().invoke(command, ["plan", str(tmp_path / "g.yaml"), "--store", str(tmp_path / "cache")])
    assert "nothing to compute" in again.output
    shown = CliRunner().invoke(command, ["show", "--runs", str(tmp_path / "out")], catch_exceptions=False)
    assert "fid" in shown.output
    assert str(folder) in shown.output


def test_a_store_beside_the_graph_is_named_where_another_is_empty(tmp_path, zoo_folder, monkeypatch):
    Lab(tmp_path, zoo_folder).load(FAST)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    plan = ["plan", "../g.yaml"]
    assert "note" not in CliRunner().invoke(command, plan).output
    (tmp_path / ".flowgen" / "store" / "blocks" / "00").mkdir(parents=True)
    said = f"note: the store at {tmp_path}/elsewhere/.flowgen/store is empty; --store ../.flowgen/store takes the one"
    assert said in CliRunner().invoke(command, plan).output
    (tmp_path / "elsewhere" / ".flowgen" / "store" / "blocks" / "00").mkdir(parents=True)
    assert "note" not in CliRunner().invoke(command, plan).output


def test_wrong_input_is_exit_code_2_with_the_line(tmp_path, zoo_folder):
    Lab(tmp_path, zoo_folder).load(FAST.replace("guidance.cfg", "guidance.cgf"))
    done = flowgen("check", "g.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "g.yaml:17:18: no node type 'guidance.cgf'" in done.stderr
    assert "did you mean 'guidance.cfg'?" in done.stderr
    assert "Traceback" not in done.stderr
    mark = next(line for line in done.stderr.splitlines() if line.strip() == "^")
    source = done.stderr.splitlines()[done.stderr.splitlines().index(mark) - 1]
    assert source[mark.index("^") :].startswith("guidance.cgf")


@pytest.mark.parametrize(
    "arguments",
    [["run", "nowhere.yaml"], ["run", "g.yaml", "--set", "colour=red"], ["run", "g.yaml", "--batch", "0"],
     ["run", "g.yaml", "--device", "cuda:99"], ["plan", "g.yaml", "--device", "quantum"],
     ["run", "g.yaml", "--runs", "g.yaml"], ["run", "g.yaml", "--runs", "/proc/runs"],
     ["show", "nowhere"], ["nodes", "guidance.cgf"], ["walk"]],
)  # fmt: skip
def test_mistakes_on_the_command_line(tmp_path, zoo_folder, monkeypatch, capsys, arguments):
    Lab(tmp_path, zoo_folder).load(FAST)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["flowgen", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("terminal", "quiet", "said"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_what_takes_its_time_is_said_on_a_terminal_only(monkeypatch, capsys, terminal, quiet, said):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(Console, "is_terminal", terminal)
    with doing("planning 1,000,000 points", quiet):
        pass
    found = capsys.readouterr()
    assert ("planning 1,000,000 points" in found.err) == said
    assert not found.out


@pytest.mark.parametrize("terminal", [True, False])
def test_writing_results_is_said(monkeypatch, capsys, terminal):
    monkeypatch.setenv("TERM", "xterm")
    with progress(Console(force_terminal=terminal)) as events:
        for done in (0, 1, 2):
            events.writing("results", done, 2)
    assert capsys.readouterr().out.count("writing results") >= 1


def test_a_span_is_no_list_of_values():
    with pytest.raises(UserError) as caught:
        read_sweep(("phi=0..3",))
    assert str(caught.value) == (
        "--sweep: '0..3' is no list of values\n"
        "  --sweep 'phi={range: [0, 4]}', the end excluded; in quotes it is a text"
    )
    assert read_sweep(("phi='0..3'",)) == {"phi": ["0..3"]}


def test_a_text_that_reads_as_a_mapping_is_refused():
    assert read_settings(("n=3", "a={b: 1}", 'c="x: y"')) == {"n": 3, "a": {"b": 1}, "c": "x: y"}
    with pytest.raises(UserError) as caught:
        read_settings(("prompt=a cat: asleep",))
    assert str(caught.value) == (
        "--set: 'a cat: asleep' reads as a mapping\n"
        "  a text with ': ' in it takes quotes of its own: --set 'prompt=\"a cat: asleep\"'"
    )


def test_a_failing_node_is_exit_code_1_and_the_rest_is_kept(tmp_path, zoo_folder):
    lab = Lab(tmp_path, zoo_folder)
    text = FAST.replace("range: 2", "range: 1")
    lab.load(text)
    code = (
        "import flowgen_nodes.decoders.vae as v, flowgen.node.registry as r, dataclasses, sys\n"
        "def broken(latent, model): raise RuntimeError('the decoder broke')\n"
        "found = r.node_type('decoder.vae')\n"
        "broken.__module__ = v.__name__\n"
        "r._TYPES['decoder.vae'] = dataclasses.replace(found, code=broken, abstract=lambda latent, model: "
        "v.decode(latent, model))\n"
        "sys.argv = ['flowgen', 'run', 'g.yaml', '--store', 'store']\n"
        "from flowgen.cli import main; main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1, done.stderr
    points = "  [prompt=a red three, guidance=1, seed=0], [prompt=a red three, guidance=4, seed=0]\n"
    assert f"failed: 2 items of 'image': RuntimeError: the decoder broke\n{points}" in done.stderr
    assert "failed: 2 items of 'clip': it needs 'image', which failed\n" in done.stderr
    assert "2 items of 'fid': 1 of the 1 items that it pools failed" in done.stderr
    folder = done.stdout.splitlines()[-1]
    assert f"8 items have no result, each named in {folder}/provenance.json; the next run" in done.stderr
    assert lab.load(text).plan(lab.store).nodes["sampler"].compute == 0
    assert "8 items have no result" in flowgen("show", cwd=tmp_path).stdout


def test_nodes_shows_the_contract():
    listed = CliRunner().invoke(command, ["nodes"], catch_exceptions=False).output
    for name in ("model", "encoder.text", "noise", "scheduler.ddim", "scheduler.ddpm", "denoiser", "guidance.cfg",
                 "decoder.vae", "score.clip", "features", "reference", "metric.fid", "mean"):  # fmt: skip
        assert f"\n{name} " in f"\n{listed}"
    page = CliRunner().invoke(command, ["nodes", "scheduler.ddim"], catch_exceptions=False).output
    assert "feedback" in page
    assert "arXiv:2010.02502" in page
    assert "eta" in page
    of_kind = CliRunner().invoke(command, ["nodes", "guidance"], catch_exceptions=False).output
    assert "\nguidance.cfg " in of_kind
    assert "\nscheduler.ddim " not in of_kind


PART = """\
flowgen: 1
description: Draws with a solver.
inputs: {digits: {type: Model}, text: {type: text, description: what to draw}, steps: 8}
sweep: {solver: {cases: {ddim: scheduler.ddim, euler: scheduler.euler}}}
nodes:
  drawn: {type: "std:text_to_image", model: $digits, prompt: $text, steps: $steps}
  noise: {type: noise, model: $digits, seed: 1}
  sampler: {type: $solver, start: $noise, prediction: $cond}
  cond: {type: denoiser, model: $digits, x: $sampler.x}
outputs: {drawn: $drawn, latent: $drawn.sampler, sampled: $sampler}
"""


def test_nodes_shows_graphs(tmp_path):
    wide = CliRunner(env={"COLUMNS": None})
    listed = wide.invoke(command, ["nodes"], catch_exceptions=False).output
    assert "\nstd:text_to_image   Image, Latent " in listed
    rows = wide.invoke(command, ["nodes", "std:text_to_image"], catch_exceptions=False).output.splitlines()
    assert rows[0] == "std:text_to_image (graph)"
    assert "parameter  prompt    text                         what to paint" in rows
    (tmp_path / "part.yaml").write_text(PART)
    call = ["nodes", str(tmp_path / "part.yaml")]
    shown = wide.invoke(command, call, catch_exceptions=False).output
    assert [line.split() for line in shown.splitlines()[1:]] == [
        ["Draws", "with", "a", "solver."],
        [],
        ["name", "type", "default", "notes"],
        ["port", "digits", "Model"],
        ["parameter", "text", "text", "what", "to", "draw"],
        ["parameter", "steps", "whole", "number", "8"],
        ["parameter", "solver", "text", "'ddim'", "swept", "in", "the", "graph,", "2", "values"],
        ["output", "drawn", "Image"],
        ["output", "latent", "Latent"],
        ["output", "sampled", "Latent"],
    ]
    (tmp_path / "part.yaml").write_text(PART.replace("std:text_to_image", "./part.yaml"))
    around = wide.invoke(command, call, catch_exceptions=False)
    assert around.exit_code == 0


class Sockets(Silent):
    """Looks at the sockets of this process and its children whenever a parcel is done."""

    def __init__(self):
        self.looks, self.all, self.before = 0, set(), self.open()  # other tests' servers

    def done(self, receipt):
        self.looks += 1
        self.all |= self.open() - self.before

    def open(self):
        processes = (me := psutil.Process(), *me.children(recursive=True))
        return {each for process in processes for each in process.net_connections(kind="inet")}

    @property
    def listening(self):
        return {each.laddr.ip for each in self.all if each.status == psutil.CONN_LISTEN}


def test_a_default_run_opens_no_socket(tmp_path, zoo_folder):
    sockets = Sockets()
    Lab(tmp_path, zoo_folder).run(FAST, options={"events": sockets})
    assert sockets.looks
    assert not sockets.all


def test_workers_of_this_machine_listen_on_loopback_alone(tmp_path, zoo_folder):
    sockets = Sockets()
    Lab(tmp_path, zoo_folder).run(FAST, options={"events": sockets, "workers": 2})
    assert sockets.looks
    assert sockets.listening == {"127.0.0.1"}


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}])
def test_errors_have_no_colour_where_nobody_wants_one(tmp_path, environment):
    others = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    ours, theirs = pty.openpty()
    call = [sys.executable, "-c", "from flowgen.cli import main; main()", "check", "g.yaml"]
    with contextlib.closing(os.fdopen(ours, "rb", buffering=0)) as terminal:
        subprocess.run(
            call, stderr=theirs, cwd=tmp_path, env={**others, "TERM": "xterm", **environment}, timeout=300, check=False
        )
        os.close(theirs)
        shown = terminal.read(4096)
    assert b"error: " in shown
    assert (b"31m" in shown) == (not environment)


def into(output, folder, *arguments, options=()):
    """A command whose standard output is an open file: its exit code and what it says."""
    call = [sys.executable, *options, "-c", "from flowgen.cli import main; main()", *arguments]
    done = subprocess.run(
        call, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, text=True, cwd=folder, timeout=300,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.fixture(params=["full", "unread"])
def lost(request):
    """An output that can't be written, with the exit code and the words of commands that print to it."""
    if request.param == "full":
        with open("/dev/full", "wb") as file:
            yield file, (2, "error: can't write to standard output: No space left on device\n")
        return
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as file:
        yield file, (141, "")


@pytest.mark.parametrize("arguments", [["--help"], ["config"], ["nodes"]])
def test_a_command_whose_output_cannot_be_written_ends(tmp_path, lost, arguments):
    assert into(lost[0], tmp_path, *arguments) == lost[1]
    assert into(lost[0], tmp_path, *arguments, options=["-u"]) == lost[1]


def test_a_line_is_there_when_it_is_printed(tmp_path):
    code = (
        "import time\nfrom flowgen.cli.output import output\nfrom flowgen.cli.tables import console\n"
        "with output():\n    console().print('one')\n    time.sleep(60)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    for options in ([], ["-u"]):
        call = [sys.executable, *options, "-c", code]
        with subprocess.Popen(call, stdout=subprocess.PIPE, env=environment) as process:
            there, _, _ = select.select([process.stdout], [], [], 30)
            process.kill()
        assert there


def test_a_run_whose_output_cannot_be_written_goes_on(tmp_path, lost):
    (tmp_path / "g.yaml").write_text(TOY)
    (tmp_path / "own.py").write_text(NUMBER)
    assert into(lost[0], tmp_path, "run", "g.yaml", "--import", "own.py", "--store", "store") == lost[1]
    (folder,) = (tmp_path / "runs").iterdir()
    assert look(folder).state == "finished"
    # a mistake keeps its own exit code and words
    code, words = into(lost[0], tmp_path, "run", "none.yaml")
    assert code == 2
    assert "none.yaml" in words and "standard output" not in words
