"""Runs by their folders: found, judged, stopped; a run's events against what it computed."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from small import Lab
from test_crash_often import TOTAL, TOY

from flowgen.cli import flowgen as command
from flowgen.errors import UserError
from flowgen.execute.event_log import EventLog, read_records
from flowgen.execute.events import Silent
from flowgen.execute.task import open_store
from flowgen.results.runs import find_run, look, runs_in, stop
from flowgen.store.processes import born


@pytest.fixture
def process():
    """A process that ends when it is asked to."""
    with subprocess.Popen([sys.executable, "-S", "-c", "import sys; print(flush=True); sys.stdin.read()"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:  # fmt: skip
        started.stdout.readline()
        yield started
        started.kill()


def folder(tmp_path, name="2026-11-27_120000_g", **about):
    """A run's folder whose process is planning."""
    found = tmp_path / "runs" / name
    found.mkdir(parents=True)
    log = EventLog(found)
    log.begin(graph="g.yaml", store="store", device="cpu", processes=0)
    log.close()
    path = found / "events.jsonl"
    path.write_text(json.dumps(json.loads(path.read_text()) | about) + "\n")
    return found


def of(process):
    return {"pid": process.pid, "born": born(process.pid)}


def test_events_say_what_a_run_computed(tmp_path):
    lab = Lab(tmp_path, tmp_path)
    done = lab.run(TOY)
    assert done.plan.compute == TOTAL
    records, _ = read_records(done.folder / "events.jsonl")
    assert [records[0]["event"], records[1]["event"], records[-1]["event"]] == ["started", "planned", "finished"]
    assert {record["v"] for record in records} == {1}
    assert [record["time"] for record in records] == sorted(record["time"] for record in records)
    for name in ("first", "second", "third"):
        mine = [record["items"] for record in records if record["event"] == "parcel" and record["node"] == name]
        assert sum(mine) == done.tally.computed(name) == 6
    assert (records[-1]["computed"], records[-1]["failed"]) == (TOTAL, 0)
    again = lab.run(TOY)
    assert again.folder != done.folder
    records, _ = read_records(again.folder / "events.jsonl")
    assert [record["event"] for record in records if record["event"] != "writing"] == ["started", "planned", "finished"]
    assert records[-1]["computed"] == 0
    seen = look(again.folder)
    assert (seen.state, seen.course.known) == ("finished", TOTAL)
    assert [path.name for path in runs_in(lab.runs)] == sorted((done.folder.name, again.folder.name), reverse=True)
    table = CliRunner().invoke(command, ["status", "--runs", str(lab.runs)], catch_exceptions=False).output
    assert f"{TOTAL}/{TOTAL}" in table
    assert "all known" in table
    told = CliRunner().invoke(command, ["status", "last", "--json", "--runs", str(lab.runs)], catch_exceptions=False)
    assert json.loads(told.output)["nodes"]["third"] == {
        "items": 6, "known": 6, "compute": 0, "done": 0, "in_hand": 0, "in_hand_done": 0.0, "failed": 0, "rate": None,
        "left": None,
    }  # fmt: skip
    lines = CliRunner().invoke(command, ["logs", "last", "--runs", str(lab.runs)], catch_exceptions=False).output
    assert "planned: all is known" in lines


def test_a_run_that_cannot_be_planned_leaves_no_folder(tmp_path):
    class Breaks(Silent):
        def begun(self, folder):
            assert look(folder).state == "planning"
            raise UserError("no")

    lab = Lab(tmp_path, tmp_path)
    with pytest.raises(UserError):
        lab.run(TOY, options={"events": Breaks()})
    assert list(lab.runs.iterdir()) == []


@pytest.mark.parametrize("moment", ["planned", "done", "results", "the report"])
def test_a_folder_that_somebody_removes_is_told_and_what_was_computed_is_kept(tmp_path, moment):
    class Removes(Silent):
        folder = None

        def begun(self, folder):
            self.folder = folder

        def planned(self, plan):
            self.remove("planned")

        def done(self, receipt):
            self.remove("done")

        def writing(self, what, done, total):
            if done == total:
                self.remove(what)

        def remove(self, now):
            if now == moment:
                shutil.rmtree(self.folder, ignore_errors=True)

    lab, events = Lab(tmp_path, tmp_path), Removes()
    with pytest.raises(UserError, match="is gone: somebody removed it") as caught:
        lab.run(TOY, options={"events": events})
    assert "what was computed is kept" in caught.value.hint
    assert runs_in(lab.runs) == []
    assert lab.load(TOY).plan(lab.store).compute == 0


def test_a_run_that_breaks_says_why(tmp_path, monkeypatch):
    class Breaks(Silent):
        told = 0

        def done(self, receipt):
            self.told += receipt.items
            if not receipt.seconds:  # tasks whose end isn't heard any more
                return
            raise ValueError("no")

    lab, events = Lab(tmp_path, tmp_path), Breaks()
    with pytest.raises(ValueError, match="no"):
        lab.run(TOY, options={"events": events})
    (left,) = lab.runs.iterdir()
    assert not (left / "provenance.json").exists()
    seen = look(left)
    assert (seen.state, seen.course.causes) == ("failed", {"run": "ValueError: no"})
    keys = np.concatenate(list(lab.load(TOY).plan(tmp_path / "empty").stored_keys().values()))
    kept = open_store(str(lab.store)).has(keys).sum()
    assert 0 < seen.course.kept == sum(node.done for node in seen.course.nodes.values()) == events.told == kept
    shown = CliRunner().invoke(command, ["status", "last", "--runs", str(lab.runs)], catch_exceptions=False).output
    assert "'run' failed: ValueError: no" in shown
    assert f"{kept} of {TOTAL} items are computed and kept; the same 'flowgen run' goes on from there" in shown
    asked = CliRunner().invoke(command, ["show", "--runs", str(lab.runs)])
    assert "there are no finished runs" in str(asked.exception)
    asked = CliRunner().invoke(command, ["show", "last", "--runs", str(lab.runs)])
    assert f"'{left.name}' has no results: it is failed" in str(asked.exception)
    # what it stands on is kept by who collects for all folders
    monkeypatch.setenv("FLOWGEN_RUNS", str(lab.runs))
    options = ["--store", str(lab.store), "--dry-run"]
    kept = CliRunner().invoke(command, ["cache", "collect", "--unreachable", "last", *options], catch_exceptions=False)
    assert kept.exit_code == 0, kept.output


def test_a_process_that_is_gone_is_told_from_one_that_has_its_number(tmp_path, process):
    living = folder(tmp_path, **of(process))
    assert (look(living).state, look(living).here) == ("planning", True)
    stranger = folder(tmp_path, "2026-11-27_120001_g", pid=process.pid, born="1")
    seen = look(stranger)
    assert (seen.state, seen.gone) == ("stopped", True)
    assert stop(seen, 0.0)
    assert process.poll() is None
    assert stop(look(living), 30.0)
    assert process.wait() == -signal.SIGTERM
    assert (look(living).state, look(living).gone) == ("stopped", True)


def test_a_suspended_process_is_told_and_can_be_stopped(tmp_path, process):
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    seen = look(folder(tmp_path, **of(process)))
    assert (seen.state, seen.here, seen.ended) == ("suspended", True, False)
    options = ["--runs", str(tmp_path / "runs")]
    said = CliRunner().invoke(command, ["status", "last", *options], catch_exceptions=False).output
    assert f"suspended (Ctrl-Z): 'fg' in its terminal, or 'kill -CONT {process.pid}', goes on" in said
    assert "suspended" in CliRunner().invoke(command, ["status", *options], catch_exceptions=False).output
    process.send_signal(signal.SIGCONT)
    os.waitid(os.P_PID, process.pid, os.WCONTINUED)
    assert look(seen.folder).state == "planning"
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    assert stop(seen, 30.0)
    assert process.wait() == -signal.SIGTERM


def test_one_that_does_not_end_is_told(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-S", "-c", "import signal, sys; signal.signal(15, signal.SIG_IGN); print(flush=True)\n"
         "sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as deaf:  # fmt: skip
        deaf.stdout.readline()
        arguments = ["stop", str(folder(tmp_path, **of(deaf))), "--wait", "0.2"]
        said = CliRunner().invoke(command, arguments, catch_exceptions=False)
        assert said.exit_code == 1
        assert f"'kill -9 {deaf.pid}' ends it at once" in said.output
        deaf.kill()


def test_another_host_is_named(tmp_path):
    seen = look(folder(tmp_path, host="elsewhere", pid=os.getpid()))
    assert (seen.state, seen.abroad, seen.here) == ("planning", True, False)
    with pytest.raises(UserError) as caught:
        stop(seen, 0.0)
    assert f"runs on 'elsewhere', this is '{socket.gethostname()}'" in str(caught.value)
    assert "ssh elsewhere flowgen stop /" in caught.value.hint


def test_runs_are_found_by_name_path_and_last(tmp_path):
    runs = tmp_path / "runs"
    with pytest.raises(UserError, match="there are no runs"):
        find_run(runs, "last")
    older, newer = folder(tmp_path, "2026-11-26_120000_g"), folder(tmp_path)
    assert find_run(runs, "last") == newer
    assert find_run(runs, older.name) == find_run(tmp_path, str(older)) == older
    with pytest.raises(UserError) as caught:
        find_run(runs, "2026-11-26_12000_g")
    assert caught.value.hint == "did you mean '2026-11-26_120000_g'?; 'flowgen status' lists all"
    names = [folder(tmp_path, f"2026-11-27_12000{n}_g").name for n in range(1, 5)]
    with pytest.raises(UserError) as caught:
        find_run(runs, "nothing")
    assert caught.value.hint == f"the latest: {', '.join(names[:0:-1])}; 'flowgen status' lists all"


def test_a_log_cut_off_or_damaged_is_read_as_far_as_it_goes(tmp_path):
    path = folder(tmp_path) / "events.jsonl"
    whole = path.read_text()
    path.write_text(whole + 'nonsense\n{"event": "planned", "time": "2026-11-27T12:00:00Z"}\n[1]\n{"v": 1, "ti')
    records, place = read_records(path)
    assert [record["event"] for record in records] == ["started", "planned"]
    assert path.read_bytes()[place:] == b'{"v": 1, "ti'
    assert not look(path.parent).course.planned


SOUND = {"host": socket.gethostname(), "pid": 2**17, "born": "1", "graph": "g.yaml", "store": "s"}
NODE = {"items": 3, "known": 0, "compute": 3, "flops": 1.0, "seconds": None}


def written(tmp_path, *records):
    """A run's folder with these records; one that is a text stands as it is."""
    found = tmp_path / "runs" / "2026-11-27_120000_g"
    found.mkdir(parents=True)
    stamp = {"v": 1, "time": "2026-11-27T12:00:00.000Z"}
    lines = (record if isinstance(record, str) else json.dumps(stamp | record) for record in records)
    (found / "events.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return found


@pytest.mark.parametrize(
    "record",
    [
        {"event": "started", "host": socket.gethostname()},
        {"event": "started", **SOUND, "pid": "x"},
        {"event": "started", **SOUND, "host": [1]},
        {"event": "started", "host": "elsewhere", "pid": 1, "born": "1", "graph": "g.yaml"},
        {"event": "started", **SOUND, "time": "0001-01-01T00:00:00"},
        "[" * 100_000,
        "\0\1",
    ],
)
def test_a_folder_that_does_not_say_whose_run_it_is_hides_no_other(tmp_path, record):
    broken = written(tmp_path, record)
    other = folder(tmp_path, "2026-11-28_120000_g", born="1")
    (tmp_path / "runs" / "directory" / "events.jsonl").mkdir(parents=True)
    options = ["--runs", str(tmp_path / "runs")]
    table = CliRunner().invoke(command, ["status", *options], catch_exceptions=False).output.splitlines()
    states = {line.split()[0]: line.split()[1] for line in table[1:]}
    assert states == {broken.name: "unreadable", other.name: "stopped", "directory": "unreadable"}
    shown = CliRunner().invoke(command, ["status", broken.name, *options], catch_exceptions=False).output
    assert f"{broken.name}: unreadable: events.jsonl doesn't say whose run it is" in shown
    for call in (["status", "--json"], ["logs", broken.name, "--follow"]):
        assert CliRunner().invoke(command, [*call, *options], catch_exceptions=False).exit_code == 0
    asked = CliRunner().invoke(command, ["stop", broken.name, *options])
    assert "its events.jsonl can't be read" in str(asked.exception)


@pytest.mark.parametrize(
    "record",
    [
        {"event": "failed", "causes": [1, 2]},
        {"event": "planned", "compute": 3, "parcels": 1, "seconds": None, "nodes": {"n": {**NODE, "known": []}}},
        {"event": "planned", "compute": 3, "parcels": 1, "seconds": None, "nodes": {"n": {**NODE, "flops": 1e999}}},
        {"event": "workers", "count": "lots", "dashboard": 5},
        {"event": "parcel", "node": "n", "parcel": 0, "items": 10**400, "known": 0, "seconds": 1},
        {"event": "parcel", "node": "n", "parcel": 0, "items": 1, "known": 0, "seconds": -5},
        {"event": "under_way", "node": "n", "parcel": [], "items": 1, "share": 0.5, "seconds": 1},
        {"event": "note", "message": None},
    ],
)
def test_a_record_of_other_fields_changes_nothing(tmp_path, record):
    plan = {"event": "planned", "compute": 3, "parcels": 1, "seconds": None, "nodes": {"m": NODE}}
    started = {"event": "started", **SOUND}
    found, other = written(tmp_path / "a", started, plan, record), written(tmp_path / "b", started, plan)
    assert look(found).course == look(other).course
    for call in (["status"], ["status", "last"], ["status", "last", "--json"]):
        done = CliRunner().invoke(command, [*call, "--runs", str(found.parent)], catch_exceptions=False)
        assert done.exit_code == 0
    logs = CliRunner().invoke(command, ["logs", "--runs", str(found.parent)], catch_exceptions=False).output
    assert len(logs.splitlines()) == 2


@pytest.mark.parametrize("host", [socket.gethostname(), "elsewhere"])
def test_a_finished_run_without_its_provenance_is_damaged(tmp_path, host):
    totals = {"computed": 0, "compute": 3, "failed": 0, "deaths": 0, "sent_again": 0, "seconds": 1.0}
    found = written(tmp_path, {"event": "started", **SOUND, "host": host}, {"event": "finished", **totals})
    (found / "provenance.json").write_text("{}")
    assert look(found).state == "finished"
    (found / "provenance.json").unlink()
    seen = look(found)
    assert (seen.state, seen.ended, seen.gone, seen.abroad) == ("damaged", True, False, False)
    options = ["--runs", str(found.parent)]
    told = CliRunner().invoke(command, ["status", "last", *options], catch_exceptions=False).output
    assert "damaged: it finished, and its provenance.json is gone" in " ".join(told.split())
    said = CliRunner().invoke(command, ["stop", "last", *options], catch_exceptions=False).output
    assert said == f"{found.name}: damaged already\n"
    assert "it is damaged" in str(CliRunner().invoke(command, ["show", "last", *options]).exception)


@pytest.mark.parametrize("host", [socket.gethostname(), "elsewhere\x1b[2J"])
def test_what_a_folder_says_controls_no_terminal(tmp_path, host):
    evil = "\x1b[2J\x1b]52;c;aGk=\x07\x9bm"
    totals = {"computed": 0, "compute": 3, "failed": 0, "deaths": 0, "sent_again": 0, "seconds": 1.0}
    nodes = {f"n{evil}": NODE}
    found = written(
        tmp_path,
        {"event": "started", **SOUND, "host": host, "graph": evil, "store": evil},
        {"event": "planned", "compute": 3, "parcels": 1, "seconds": None, "nodes": nodes},
        {"event": "workers", "count": 2, "dashboard": f"http://{evil}"},
        {"event": "writing", "what": evil, "done": 0, "total": 1},
        {"event": "note", "message": f"first{evil}\nsecond"},
        *([{"event": "failed", **totals, "causes": {f"n{evil}": f"no{evil}"}}] if "else" not in host else []),
    )
    (found / "run.log").write_bytes(f"printed {evil}\n".encode())
    for call in (["status"], ["status", "last"], ["logs", "last"]):
        said = CliRunner().invoke(command, [*call, "--runs", str(found.parent)], catch_exceptions=False).output
        assert all(line.isprintable() for line in said.split("\n"))
        assert "status" in call or "| printed  [2J" in said
    assert (
        "\nfirst [2J ]52;c;aGk=  m\nsecond\n"
        in CliRunner().invoke(command, ["status", "last", "--runs", str(found.parent)], catch_exceptions=False).output
    )


def test_looking_at_runs_needs_no_torch(tmp_path):
    name = folder(tmp_path, born="1").name
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom flowgen.cli import flowgen\n"
        "for call in (['status'], ['status', 'last'], ['logs'], ['stop', 'last']):\n"
        f"    print(CliRunner().invoke(flowgen, [*call, '--runs', {str(tmp_path / 'runs')!r}], "
        "catch_exceptions=False).output)\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(name) >= 3


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_what_no_encoding_has_is_printed_escaped(tmp_path, encoding):
    graph = "\ud800 … é"
    found = written(tmp_path, {"event": "started", **SOUND, "graph": graph})
    code = "from flowgen.cli import main; main()"
    for call in (["status", "--json"], ["status", "last", "--json"], ["status"], ["status", "last"], ["logs"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *call, "--runs", str(found.parent)],
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": encoding},
            check=True,
        )
        if "--json" in call:
            told = json.loads(done.stdout.decode(encoding))
            assert (told["runs"][0] if "runs" in told else told)["graph"] == graph
