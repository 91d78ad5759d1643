"""Runs on a cluster that was started with Dask's own commands, over TLS, on another host where namespaces allow it."""

import json
import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from clusters import address, certificates, flowgen, other_host, scheduler, worker
from distributed import Client
from small import SMALL, Lab, computed

from flowgen.cli import flowgen as command
from flowgen.errors import UserError
from flowgen.execute import connection
from flowgen.execute.clusters import Where, client, preflight
from flowgen.execute.clusters.preflight import admitted, ask, judge, question_for
from flowgen.execute.clusters.running import running
from flowgen.execute.connection import SchedulerGone
from flowgen.execute.driver import Flight, Tally, run_once
from flowgen.execute.messages import NOTES
from flowgen.execute.placement import GPU, Workers, resources
from flowgen.execute.post import Post
from flowgen.execute.progress import Silent
from flowgen.execute.task import Place
from flowgen.node import node_types
from flowgen.store.probe import Probe

ROOT = Path(__file__).parents[2]
GRAPH = SMALL.replace("steps: 4", "steps: 2")


@pytest.fixture(scope="module")
def hosts():
    """Another host, as far as namespaces allow it."""
    with other_host() as found:
        yield found


@pytest.fixture(scope="module")
def secured(tmp_path_factory, hosts):
    """Where a cluster over TLS is: a scheduler and two workers that declare a GPU, one on another host."""
    folder = tmp_path_factory.mktemp("secured")
    tls = certificates(folder / "tls")
    with ExitStack() as started:
        started.enter_context(scheduler(folder, "--protocol", "tls", *tls, host=hosts.here))
        at = address(folder)
        for prefix in ((), hosts.prefix):
            started.enter_context(worker(at, "--resources", f"{GPU}=1", *tls, prefix=prefix))
        yield Where(workers=2, cluster=at, tls=folder / "tls", wait=120)


def test_a_run_over_tls_answers_what_one_here_does(tmp_path, zoo_folder, secured):
    lab = Lab(tmp_path, zoo_folder)
    here = lab.run(GRAPH)
    lab.store = tmp_path / "other"
    file = tmp_path / "g.yaml"
    where = ("--cluster", secured.cluster, "--tls", secured.tls, "--workers", 2, "--wait", "2m", "--batch", 2)
    said = flowgen("run", file, "--store", lab.store, "--runs", lab.runs, *where)
    assert f"computed {here.tally.computed()} items" in said
    there = lab.run(GRAPH)
    assert computed(there) == {}
    left, right = (run.results.load() for run in (here, there))
    assert float(abs(left.image - right.image).max()) < 1e-4
    assert left.sizes == right.sizes


def test_who_has_no_certificate_is_not_let_in(tmp_path, secured):
    certificates(tmp_path / "others")
    for tls in (tmp_path / "others", tmp_path / "nothing"):
        with pytest.raises(UserError) as caught, client(replace(secured, tls=tls, wait=5)):
            pass
        assert "doesn't belong to this set of certificates" in str(caught.value) or "no ca.pem" in str(caught.value)
    with pytest.raises(UserError, match=r"speaks TLS\n  --cluster tls://.* --tls FOLDER"):
        running(replace(secured, cluster=secured.cluster.replace("tls", "tcp"), tls=None, insecure=True, wait=2))


@pytest.fixture
def planned(tmp_path, zoo_folder):
    """A plan whose stages are cut for more workers than there are, and where its tasks work."""
    lab = Lab(tmp_path, zoo_folder)
    return lab.load(GRAPH).plan(lab.store, workers=6, batch=2), Place(str(lab.store), "auto")


def test_workers_that_lack_something_are_named_before_anything_is_sent(tmp_path, planned, secured):
    plan, place = planned
    with client(secured) as connected, Probe(place.store) as probe:
        question = question_for(plan, place, probe.name)
        judge(ask(connected, question), probe)  # all is well
        software = tuple((name, "0.1" if name == "torch" else said) for name, said in question.software)
        part, digest = next((part, digest) for part, digest in question.parts if part.files)
        parts = ((part, digest[::-1]), (replace(part, folder="/nowhere"), digest))
        other = replace(question, software=software, parts=parts, device="cuda:7")
        for wrong, said in (
            (other, ["torch is ", ", here 0.1", "has other weights", "no weights of", "has no device 'cuda:7'"]),
            (replace(question, store="/nowhere"), ["the store /nowhere isn't there"]),
            (replace(question, probe="probe-0"), [f"the store {place.store} is another one there"]),
        ):
            with pytest.raises(UserError) as caught:
                judge(ask(connected, wrong), probe)
            assert "2 of 2 workers can't do this run; nothing was sent" in str(caught.value)
            missing = [text for text in [*said, *resources(connected)] if text not in str(caught.value)]
            assert not missing, str(caught.value)
        with pytest.raises(UserError, match="no answer within 0 s"):
            judge(ask(connected, question, patience=0), probe)
    assert not list((tmp_path / "store" / "tmp").iterdir())


def test_workers_are_asked_without_a_run(tmp_path, planned, secured, monkeypatch):
    place = planned[1]
    packs = {k: v for k, v in node_types().items() if v.code.__module__.startswith("flowgen_nodes.")}
    monkeypatch.setattr("flowgen.node.registry._TYPES", packs)  # as in a process of its own: without other tests' types
    where = ("--cluster", secured.cluster, "--tls", secured.tls, "--workers", 2, "--wait", "2m", "--store", place.store)
    shown = flowgen("cluster", "check", tmp_path / "g.yaml", *where)
    assert "2 of 2 workers can do a run" in shown
    found = json.loads(flowgen("cluster", "check", *where, "--json"))
    assert found["fit"] == 2
    for each in found["workers"]:
        assert each["address"] in shown
        assert str(each["process"]) in shown
        assert each["software"] == found["software"]
        assert (each["device"], each["resources"], each["problems"]) == ("cpu", {GPU: 1}, {})
    for options in ((), ("--json",)):
        call = ["cluster", "check", *map(str, where), "--device", "cuda:7", *options]
        done = CliRunner().invoke(command, call, catch_exceptions=False)
        assert done.exit_code == 1
        assert "has no device 'cuda:7'" in done.output
    assert not list((tmp_path / "store" / "tmp").iterdir())


def test_a_worker_that_joins_later_with_other_code_gets_no_tasks(tmp_path, planned, secured):
    plan, place = planned
    shutil.copytree(ROOT / "flowgen", tmp_path / "code" / "flowgen", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "code" / "flowgen" / "errors.py").open("a") as file:
        file.write("# another\n")
    tls = [f"--tls-{k}={secured.tls / v}.pem" for k, v in (("ca-file", "ca"), ("cert", "certificate"), ("key", "key"))]
    said, tally = [], Tally()
    events = Silent()
    events.note = said.append
    with client(secured) as connected, admitted(connected, plan, place) as (asking, workers):
        options = ("--resources", f"{GPU}=1", *tls)
        with worker(secured.cluster, *options, python_path=f"{tmp_path / 'code'}:"):
            connected.wait_for_workers(3, timeout=120)
            assert run_once(Flight(plan, connected, asking, workers, events.note, events), events, tally) == []
    assert tally.computed() == plan.compute
    assert not tally.failed
    assert len(said) == 1
    assert "the code of flowgen is" in said[0]


def test_stages_go_where_their_tensors_or_their_models_are(planned, secured):
    plan, place = planned
    denoiser, decoder = plan.check.weights["cond"], plan.check.weights["image"]
    with client(secured) as connected, admitted(connected, plan, place) as (asking, workers):
        assert workers.has_gpus
        assert workers.homes == {}  # each holds all models
        ran = where_ran(Flight(plan, connected, asking, workers, print, Silent()))
        assert len({process for (stage, _), process in ran.items() if stage == "sampler"}) == 2
        for cut in (cut for cut in plan.parcels if cut.stage == "image"):
            assert ran["image", cut.number] in {ran[parent] for parent in plan.depends(cut)}
        findings = {name: replace(found, room=denoiser + decoder // 2) for name, found in workers.findings.items()}
        small = Workers(findings, workers.resources)
        small.settle(plan)
        assert set(small.homes["sampler"]).isdisjoint(small.homes["image"])
        ran = where_ran(Flight(plan, connected, asking, small, print, Silent()))
        processes = connected.run(os.getpid)
        for stage, home in small.homes.items():
            assert {process for (name, _), process in ran.items() if name == stage} == {processes[w] for w in home}


def test_who_comes_in_the_place_of_a_worker_gets_its_home(tmp_path, planned):
    plan, place = planned
    room = plan.check.weights["cond"] + plan.check.weights["image"] // 2
    with scheduler(tmp_path), ExitStack() as started:
        where = Where(workers=2, cluster=address(tmp_path), wait=120)
        processes = [started.enter_context(worker(where.cluster)) for _ in range(2)]
        connected = started.enter_context(client(where))
        asking, workers = started.enter_context(admitted(connected, plan, place))
        workers.findings = {name: replace(found, room=room) for name, found in workers.findings.items()}
        workers.usual = room
        workers.settle(plan)
        before = {stage: list(home) for stage, home in workers.homes.items()}
        assert set(before["sampler"]).isdisjoint(before["image"])
        (gone,) = before["sampler"]
        processes[0 if connected.run(os.getpid)[gone] == processes[0].pid else 1].kill()
        started.enter_context(worker(where.cluster))
        while gone in (there := set(connected.nthreads())) or len(there) < 2:
            time.sleep(0.1)
        (newcomer,) = there - set(before["image"])
        ran = where_ran(Flight(plan, connected, asking, workers, print, Silent()))
        assert workers.homes == before | {stage: [newcomer] for stage, home in before.items() if home == [gone]}
        at = connected.run(os.getpid)[newcomer]
    assert {process for (stage, _), process in ran.items() if stage == "sampler"} == {at}


def test_a_scheduler_that_does_not_answer_is_waited_for_and_said_once(tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "ANSWERS", 0.5)
    said, events = [], Silent()
    events.note = said.append
    with scheduler(tmp_path) as process, Client(address(tmp_path)) as connected, ThreadPoolExecutor(1) as pool:
        post = Post(connected, {}, events)
        post.look()
        assert said == []
        for _ in range(2):
            process.send_signal(signal.SIGSTOP)
            looking = pool.submit(post.look)
            time.sleep(2)
            assert not looking.done()
            process.send_signal(signal.SIGCONT)
            looking.result(timeout=60)
        assert said == ["the cluster's scheduler doesn't answer; the run waits for it"]
        process.kill()
        with pytest.raises(SchedulerGone):
            post.look()


def test_a_worker_that_does_not_answer_before_a_run_is_named(tmp_path, planned, monkeypatch):
    monkeypatch.setattr(preflight, "ANSWERS", 0.5)
    plan, place = planned
    said = []
    with ExitStack() as started:
        started.enter_context(scheduler(tmp_path))
        hung = started.enter_context(worker(address(tmp_path)))
        connected = started.enter_context(client(Where(cluster=address(tmp_path), wait=120)))
        probe = started.enter_context(Probe(place.store))
        pool = started.enter_context(ThreadPoolExecutor(1))
        connected.subscribe_topic(NOTES, lambda event: said.append(event[1]))
        hung.send_signal(signal.SIGSTOP)
        asking = pool.submit(ask, connected, question_for(plan, place, probe.name))
        try:
            time.sleep(3)
        finally:
            hung.send_signal(signal.SIGCONT)
        found = asking.result(timeout=120)
        judge(found, probe)
    assert said == [f"no answer yet from {' '.join(found)}; the run waits for it, 600 s at most"]


def where_ran(flight: Flight) -> dict[tuple[str, int], int]:
    """The process that each parcel ran in."""
    tally = Tally()
    assert run_once(flight, Silent(), tally) == []
    return {(receipt.stage, receipt.number): receipt.worker for receipt in tally.receipts}


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        ("tcp://203.0.113.9:8786", "has no TLS: whoever reaches that network"),
        ("tls://127.0.0.1:8786", "tls:// takes certificates: --tls FOLDER"),
        ("ucx://127.0.0.1:8786", "is no cluster"),
        ("tcp://127.0.0.1:1", "no Dask scheduler answers at tcp://127.0.0.1:1 within 1 s: nothing listens there"),
        ("tcp://127.0.0.1:70000", "is no cluster"),
        ("gpus", "this machine has no GPU"),
    ],
)
def test_clusters_that_are_refused(cluster, said):
    with pytest.raises(UserError) as caught, client(Where(cluster=cluster, wait=1)):
        pass
    assert said in str(caught.value)


def test_a_cluster_is_refused_though_everything_is_known(tmp_path, zoo_folder):
    lab = Lab(tmp_path, zoo_folder)
    graph = GRAPH.replace("[image, clip, fid]", "[text]").replace("  fid:", "  unused:")
    lab.run(graph)
    with pytest.raises(UserError, match="has no TLS"):
        lab.run(graph, options={"cluster": "tcp://203.0.113.9:8786"})


def test_strict_results_need_a_device_that_is_known(tmp_path, zoo_folder):
    lab = Lab(tmp_path, zoo_folder)
    graph = lab.load(GRAPH.replace("flowgen: 1", "flowgen: 1\nnumerics: strict"))
    with pytest.raises(UserError, match="--device cuda or --device cpu"):
        graph.plan(lab.store, cluster="tls://127.0.0.1:1")
    assert graph.plan(lab.store, cluster="tls://127.0.0.1:1", device="cpu").compute
