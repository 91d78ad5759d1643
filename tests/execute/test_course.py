"""The course of a run as its records tell it: counts, rates and times against closed forms; how it looks."""

import io
import random
from datetime import UTC, datetime

import pytest
from rich.console import Console

from flowgen.execute.course import APPLY, Course, Spans
from flowgen.execute.progress import progress
from flowgen.execute.telling import told
from flowgen.execute.view import view


def at(second, event, **fields):
    """A record so many seconds after the run began."""
    stamp = datetime.fromtimestamp(1_000_000 + second, UTC).isoformat(timespec="milliseconds")
    return {"v": 1, "time": stamp.replace("+00:00", "Z"), "event": event, **fields}


def planned(second, **nodes):
    """A plan: by node, items to compute, FLOPs and expected seconds of all of them, and how many are known."""
    about = {}
    for name, (compute, flops, seconds, known) in nodes.items():
        about[name] = {"items": compute + known, "known": known, "compute": compute, "flops": flops}
        about[name] |= {"seconds": seconds, "parcels": compute}
    compute = sum(node["compute"] for node in about.values())
    return at(second, "planned", compute=compute, parcels=compute, seconds=None, nodes=about)


def parcel(second, node, items, seconds, known=0):
    return at(second, "parcel", node=node, parcel=0, items=items, known=known, seconds=seconds, worker=1)


def course(*records):
    found = Course()
    for record in (at(0, "started", graph="g.yaml", host="here", pid=1, born="1", store="s"), *records):
        found.apply(record)
    return found


def test_time_that_is_covered():
    dice = random.Random(0)
    spans, covered = Spans(), set()
    for end in sorted(dice.randrange(1, 400) for _ in range(60)):
        start = max(0, end - dice.randrange(1, 25))
        spans.add(start, end)
        covered |= set(range(start, end))
        assert spans.total == len(covered)


def test_rates_and_what_is_left():
    found = course(planned(1, image=(30, 0, None, 5)), parcel(6, "image", 4, 5.0), parcel(11, "image", 6, 5.0))
    node = found.nodes["image"]
    assert (node.done, node.total, node.known) == (10, 30, 5)
    assert node.rate == pytest.approx(1.0)  # 10 items in 10 s
    assert found.left() == pytest.approx(20.0)
    found.apply(parcel(12, "image", 10, 0.0))  # cut short: counted, but nobody knows how long it took
    assert (node.done, node.rate, found.rate) == (20, pytest.approx(1.0), pytest.approx(1.0))
    assert found.left() == pytest.approx(10.0)
    assert told(parcel(12, "image", 10, 0.0)).endswith("image: 10 items of a task that was cut short")
    # two workers at once: each node alone would take 10 s more, but they run side by side
    beside = [parcel(11, name, 10, 10.0) for name in ("a", "b")]
    assert course(planned(1, a=(20, 0, None, 0), b=(20, 0, None, 0)), *beside).left() == pytest.approx(10.0)


def test_what_is_left_of_nodes_that_have_not_begun():
    # earlier runs tell: 40 items in 8 s
    assert course(planned(1, a=(40, 0, 8.0, 0))).left() == pytest.approx(8.0)
    assert course(planned(1, a=(40, 0, None, 0))).left() is None
    # a took 10 s for 1000 of its 2000 FLOPs, and b has 500
    told = [planned(1, a=(20, 2000, None, 0), b=(5, 500, None, 0)), parcel(11, "a", 10, 10.0)]
    assert course(*told).left() == pytest.approx(10.0 + 5.0)
    # the first parcel of a small node says nothing of one that is a thousand times its work
    told = [planned(1, a=(2, 2, None, 0), b=(5, 5000, None, 0)), parcel(11, "a", 1, 10.0)]
    assert course(*told).left() is None


def test_a_second_plan_counts_nothing_twice():
    first = [planned(1, text=(2, 0, None, 0), image=(10, 0, None, 0)), parcel(2, "text", 2, 1.0)]
    done = course(*first, parcel(3, "image", 4, 1.0), planned(4, text=(0, 0, None, 2), image=(6, 0, None, 4)))
    assert {name: (node.done, node.total, node.known) for name, node in done.nodes.items()} == {
        "text": (2, 2, 0),
        "image": (4, 10, 0),
    }
    lost = course(*first, parcel(3, "image", 10, 1.0), planned(4, text=(1, 0, None, 1), image=(0, 0, None, 10)))
    assert (lost.done, lost.total) == (12, 13)  # one text is computed once more
    shown = Console(width=80, record=True, file=io.StringIO())
    shown.print(view(done, 80, 24, 1_000_010))
    text = shown.export_text()
    assert sum(line.startswith("image") for line in text.splitlines()) == 1
    assert "4/10" in text


def test_what_failed_and_what_others_computed():
    failed = at(3, "failed_items", node="a", parcel=0, items=2, causes={"broken": 2})
    again = [at(4, "worker_died", worker="w", tasks=1), at(4, "sent_again", node="a", items=4)]
    found = course(planned(1, a=(10, 0, None, 0)), parcel(3, "a", 3, 1.0, known=5), failed, *again)
    assert (found.done, found.total, found.failed) == (10, 10, 2)
    assert found.left() == 0
    assert found.totals() == {"computed": 3, "compute": 10, "failed": 2, "deaths": 1, "sent_again": 1}


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 24), (40, 12)])
def test_the_view_fits_the_screen(width, height):
    nodes = {f"a_node_with_a_rather_long_name_{n}": (100, 0, 5.0, 7) for n in range(40)}
    parts = [parcel(10, name, 100 if n < 10 else 30, 1.0) for n, name in enumerate(nodes) if n < 12]
    link = at(2, "workers", count=8, dashboard="http://127.0.0.1:8787/status")
    died = [at(3, "worker_died", worker="w", tasks=2), at(3, "sent_again", node="x", items=4)]
    found = course(
        planned(1, **nodes),
        link,
        *died,
        *parts,
        *(at(12, "writing", what=f"part {n}", done=1, total=3) for n in range(9)),
    )
    console = Console(width=width, height=height, force_terminal=True, record=True, file=io.StringIO())
    console.print(view(found, width, height, 1_000_020))
    lines = console.export_text().splitlines()
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    for part in ("nodes are done", "30/100", "8 workers", "1 worker died, 1 task sent again", "127.0.0.1:8787", "1/3"):
        assert part in text


def test_a_long_task_is_seen_to_go_on(capsys):
    def goes(second, number, items, share, seconds):
        return at(second, "under_way", node="a", parcel=number, items=items, share=share, seconds=seconds)

    found = course(planned(0, a=(40, 1, None, 0)), goes(20, 0, 20, 0.25, 20.0))
    node = found.nodes["a"]
    assert (node.done, node.in_hand, node.begun, node.rate) == (0, 20, 5.0, pytest.approx(5 / 20))
    assert found.left() == pytest.approx(35 / (5 / 20))
    found.apply(goes(24, 1, 20, 0.05, 4.0))  # beside it
    found.apply(goes(40, 0, 20, 0.5, 40.0))
    assert (node.in_hand, node.begun, node.rate) == (40, 11.0, pytest.approx(11 / 40))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(view(found, 80, 24, 1_000_040))
    assert "28% of 40" in console.export_text()
    found.apply(parcel(60, "a", 20, 60.0))
    assert (node.done, node.in_hand, node.begun) == (20, 20, 1.0)
    assert node.rate == pytest.approx(21 / 60)  # the time that it was seen in counts once
    found.apply(at(61, "sent_again", node="a", items=20))
    assert (node.in_hand, node.begun) == (0, 0)
    assert told(goes(40, 0, 20, 0.5, 40.0)).endswith("a: 50% of 20 items in 40 s")
    shown = progress(Console(file=io.StringIO()))
    for record in (planned(0, a=(40, 1, None, 0)), goes(6, 0, 20, 0.1, 6.0), goes(12, 0, 20, 0.2, 12.0)):
        shown.take(record)
    assert shown.console.file.getvalue() == "a: 0/40, 20% of 20 in hand, 3 s/item, 108 s left\n"


def test_failed_items_have_no_rate_and_a_worker_that_left_has_nothing_in_hand():
    failed = at(2, "failed_items", node="a", parcel=0, items=2, causes={"broken": 2})
    found = course(planned(1, a=(2, 0, None, 0)), parcel(2, "a", 0, 0.001), failed)
    assert (found.nodes["a"].done, found.nodes["a"].rate, found.rate) == (2, None, None)
    goes = at(9, "under_way", node="a", parcel=1, items=64, share=0.02, seconds=5.0)
    crews = [at(n, "workers", count=count, dashboard=None) for n, count in ((2, 1), (3, 2), (10, 1))]
    found = course(planned(1, a=(64, 0, None, 0)), *crews[:2], goes)
    assert found.nodes["a"].in_hand == 64
    found.apply(crews[2])
    assert found.nodes["a"].in_hand == 0


def test_what_is_written_is_named_in_full():
    wrote = at(12, "writing", what="sheets of pictures", done=0, total=1)
    for width in (40, 60):
        console = Console(width=width, force_terminal=True, record=True, file=io.StringIO())
        console.print(view(course(planned(1, a_long_name_of_a_node=(64, 0, None, 0)), wrote), width, 24, 1_000_020))
        assert "writing sheets of pictures" in console.export_text()


def test_every_event_has_words():
    totals = {"computed": 3, "compute": 10, "failed": 2, "deaths": 1, "sent_again": 2, "seconds": 300.0}
    records = [
        at(0, "started", graph="g.yaml", host="here", pid=7, born="1", store="s"),
        planned(1, a=(10, 0, None, 0)),
        at(2, "workers", count=2, dashboard=None),
        parcel(3, "a", 3, 1.5),
        at(3, "under_way", node="a", parcel=1, items=4, share=0.5, seconds=6.0),
        at(3, "failed_items", node="a", parcel=0, items=2, causes={"broken": 2}),
        at(3, "sent_again", node="a", items=2),
        at(4, "writing", what="results", done=1, total=2),
        at(4, "note", message="a block was lost"),
        at(4, "stopping"),
        at(5, "failed", causes={"a": "ValueError: no"}, **totals),
        at(5, "finished", **totals),
        at(5, "stopped", **totals),
    ]
    assert {record["event"] for record in records} | {"worker_died"} == set(APPLY)
    lines = [told(record) for record in records]
    assert all(lines)
    assert lines[3].endswith("a: 3 items in 1.5 s, 2 items/s")
    assert "failed after 5 min; computed 3 of 10 items; 2 failed; 1 worker died, 2 tasks sent again" in lines[-3]
    assert told(at(6, "something_new", x=1)) == ""
    assert told(at(6, "parcel", node="a")) == ""


def test_plain_lines_elsewhere(capsys):
    with progress(Console()) as shown:
        records = [
            planned(1, a=(10, 0, None, 0)),
            parcel(2, "a", 2, 1.0),
            parcel(20, "a", 2, 1.0),
            at(21, "note", message="[not markup]"),
            parcel(22, "a", 5, 1.0),
            at(22, "failed_items", node="a", parcel=0, items=1, causes={"no": 1}),
            at(23, "writing", what="results", done=0, total=3),
        ]
        for record in records:
            shown.take(record)
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "a: 4/10, 2 items/s, 3 s left",
        "[not markup]",
        "a: 10/10 (1 failed), 3 items/s",
        "writing results",
    ]


@pytest.mark.parametrize(
    ("error", "state"), [(None, "finished"), (KeyboardInterrupt(), "stopped"), (OSError(), "failed")]
)
def test_a_terminal_shows_the_last_state(error, state):
    console = Console(width=80, height=24, force_terminal=True, file=io.StringIO())
    shown = progress(console)
    shown.__enter__()
    shown.take(planned(1, a=(10, 0, None, 0)))
    shown.take(at(2, "note", message="[not markup]"))
    shown.take(parcel(3, "a", 10, 1.0))
    shown.__exit__(type(error) if error else None, error, None)
    assert "[not markup]" in console.file.getvalue()
    last = console.file.getvalue().rpartition("node")[2]
    assert "10/10" in last
    assert "left" not in last
    assert f"{state} " in last
