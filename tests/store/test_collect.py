"""What is removed, what stays, and what can be said of it afterwards."""

import os
import re
import time
from contextlib import suppress

import pytest
import torch
from click.testing import CliRunner
from storing import file_of, get, hurt, key, known, put, run_folder, used

from flowgen.cli import flowgen as command
from flowgen.errors import UserError
from flowgen.store import Lost, Store, uses
from flowgen.store import compact as compacting
from flowgen.store.collect import choose, collect, keep_within
from flowgen.store.index import Index
from flowgen.store.quantities import age, shown, size
from flowgen.store.reach import keys_of, packed, pin, pins, unpin
from flowgen.values import Latent

DAY = 86400


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def contents(rewrites):
    return [[(part.about.name, [int(k, 16) for k, _ in part.rows]) for part in r.parts] for r in rewrites]


def names(blocks):
    return {about.name for about in blocks}


def cache(*arguments, store, **options):
    return CliRunner().invoke(command, ["cache", *map(str, arguments), "--store", str(store.path)], **options)


def test_by_age_what_was_not_read_for_long_goes(store):
    old, read, new = (put(store, n) for n in range(3))
    used(store, old, time.time() - 40 * DAY)
    used(store, read, time.time() - 40 * DAY)
    store.recent.clear()
    assert get(store, 1) == [1]  # notes the use
    found = choose(store, older=30 * DAY)
    assert names(found.going) == {old}
    assert found.bytes == next(a.bytes for a in store.index.blocks() if a.name == old)
    collect(store, found.going)
    assert known(store, 0, 1, 2) == {1, 2}
    assert store.on_disk() == {read, new}
    assert list((store.path / "tmp").iterdir()) == []
    with pytest.raises(Lost):
        get(store, 0)


def test_by_size_the_least_recently_used_go_first(store):
    blocks = [put(store, n) for n in range(4)]
    for name, ago in zip(blocks, (3, 9, 1, 5), strict=True):
        used(store, name, time.time() - ago * DAY)
    each = store.index.blocks()[0].bytes
    gone = keep_within(store, int(2.5 * each))
    assert names(gone.going) == {blocks[1], blocks[3]}
    assert known(store, *range(4)) == {0, 2}
    assert keep_within(store, 2 * each).going == []


def test_what_no_run_reaches_goes_and_a_block_stays_for_one_item(store, tmp_path):
    put(store, 1, 2, 3, 4)
    dead = put(store, 5, 6)
    wanted = keys_of([run_folder(tmp_path / "run", 1)])
    found = choose(store, wanted=wanted)
    assert names(found.going) == {dead}
    size_of = next(a.bytes for a in store.index.blocks() if a.name != dead)
    assert found.waste == int(size_of * 3 / 4)
    collect(store, found.going)
    assert known(store, *range(1, 7)) == {1, 2, 3, 4}


def test_what_is_pinned_stays_until_it_is_unpinned(store, tmp_path):
    put(store, 1, 2)
    put(store, 3)
    run = run_folder(tmp_path / "runs" / "first", 2)
    assert pin(store, run) == 1
    found = choose(store, keep=0)
    assert len(found.going) == len(found.guarded) == 1
    collect(store, [*found.going, *found.guarded])  # as if it had been pinned after the choice
    assert known(store, 1, 2, 3) == {1, 2}
    (name,) = pins(store)
    with pytest.raises(UserError, match="isn't pinned") as caught:
        unpin(store, tmp_path / "runs" / "other")
    assert name in caught.value.hint
    unpin(store, run)
    keep_within(store, 0)
    assert known(store, 1, 2, 3) == set()


@pytest.mark.parametrize("lose", [lambda store: store.index.path.unlink(), lambda store: store.rebuild_index()])
def test_an_index_that_is_made_anew_knows_what_this_machine_used(store, lose):
    long_ago = time.time() - 40 * DAY
    for n in range(2):
        os.utime(file_of(store.path, put(store, n)), (long_ago, long_ago))
    store.rebuild_index()
    store.recent.clear()
    assert get(store, 1) == [1]
    uses.tell(store)
    lose(store)
    uses.tell(store)
    lose(store)
    found = choose(store, older=30 * DAY)
    collect(store, found.going)
    assert known(store, 0, 1) == {1}


def test_items_that_a_block_holds_too_that_stays_are_found_there(store):
    first = put(store, 1, 2)
    put(store, 2, 3, by="another")
    collect(store, [about for about in store.index.blocks() if about.name == first])
    assert known(store, 1, 2, 3) == {2, 3}
    assert get(store, 2, 3) == [2, 3]
    assert store.fate([key(1), key(2)]).keys() == {key(1)}


def test_what_a_living_run_stands_on_stays(store):
    import numpy as np

    put(store, 1)
    put(store, 2)
    with store.leases.hold(packed(np.array([key(1)]))):
        keep_within(store, 0)
        assert known(store, 1, 2) == {1}
        with store.leases.claim([key(1)]):
            keep_within(store, 0)
    keep_within(store, 0)
    assert known(store, 1, 2) == set()


def test_what_became_of_items_is_remembered(store):
    put(store, 1)
    bad = put(store, 2)
    before = time.time()
    collect(store, [a for a in store.index.blocks() if a.name != bad])
    hurt(file_of(store.path, bad))
    assert store.verify() == [bad]
    fate = store.fate([key(1), key(2), key(3)])
    assert set(fate) == {key(1), key(2)}
    assert fate[key(1)].reason == "collected"
    assert fate[key(2)].reason == "damaged: value/data/c.0.0.0.0 has other content than written"
    assert all(before - 1 <= gone.when <= time.time() for gone in fate.values())
    put(store, 1, again=True)
    assert set(store.fate([key(1), key(2)])) == {key(2)}


def test_compact_keeps_what_is_wanted_and_its_content(store, tmp_path):
    whole = put(store, *range(10))
    mostly = put(store, *range(10, 14), by="another")
    reader = Store(store.path)
    wanted = keys_of([run_folder(tmp_path / "run", 3, 7, 10, 11, 12)])
    rewrites = compacting.plan(store, wanted)
    assert contents(rewrites) == [[(whole, [3, 7])]]
    before = sum(a.bytes for a in store.index.blocks())
    freed = compacting.compact(store, rewrites)
    assert before - sum(a.bytes for a in store.index.blocks()) == freed > 0
    assert known(reader, *range(14)) == {3, 7, *range(10, 14)}
    assert get(reader, 7, 3, 11) == [7, 3, 11]
    assert mostly in store.on_disk() and whole not in store.on_disk()
    assert store.fate([key(0), key(3)]).keys() == {key(0)}
    assert store.verify() == []
    again = Store(store.path)
    again.rebuild_index()
    assert known(again, *range(14)) == {3, 7, *range(10, 14)}


def test_compact_keeps_what_was_pinned_since_it_was_planned(store, tmp_path):
    put(store, *range(10))
    put(store, 20, 21, by="another")
    rewrites = compacting.plan(store, {bytes.fromhex(key(3))})
    pin(store, run_folder(tmp_path / "run", 5))
    with store.leases.hold(bytes.fromhex(key(21))):
        compacting.compact(store, rewrites)
    assert known(store, *range(10), 20, 21) == {3, 5, 21}
    assert get(store, 21) == [21]
    assert get(store, 5, 3) == [5, 3]


def test_without_runs_compact_drops_only_what_is_held_twice(store):
    put(store, 1, 2, 3)
    twice = put(store, 1, 2, 3, 4, by="another")
    rewrites = compacting.plan(store)
    assert contents(rewrites) == [[(twice, [4])]]
    compacting.compact(store, rewrites)
    assert get(store, 4, 3, 2, 1) == [4, 3, 2, 1]


def test_small_blocks_that_are_alike_become_one(store, monkeypatch):
    small = [put(store, 2 * n, 2 * n + 1, seconds=0.5, created=f"day {n}") for n in range(20)]
    put(store, 100, by="another")
    put(store, 101, version=2)
    store.write([key(102)], {"value": Latent(torch.zeros(1, 1, 2, 2), "t")}, {"type": "test"})  # of another shape
    used(store, small[3], time.time() - 40 * DAY)
    rewrites = compacting.plan(store)
    assert contents(rewrites) == [[(name, [2 * n, 2 * n + 1]) for n, name in enumerate(small)]]
    reader = Store(store.path)
    assert compacting.compact(store, rewrites) > 0
    assert compacting.plan(store) == []
    assert len(store.on_disk()) == 4
    assert get(reader, *range(40)) == list(range(40))
    (name,) = {place.block for place in store.find(map(key, range(40))).values()}
    told = store.manifest(name)["provenance"]
    assert told["seconds"] == 10 and told["created"] == "day 19"
    assert store.fate(map(key, range(102))) == {} and store.verify() == []
    Store(store.path).rebuild_index()
    assert known(store, *range(40)) == set(range(40))
    more = [put(store, n) for n in range(200, 206)]
    monkeypatch.setattr(compacting, "LARGE", 2.5 * next(a.bytes for a in store.index.blocks() if a.name == more[0]))
    assert [len(r.parts) for r in compacting.plan(store)] == [2, 2, 2]
    monkeypatch.setattr(compacting, "SMALL", 0)
    assert compacting.plan(store) == []


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize(("owner", "name", "calls"), [
    (os, "fsync", 2), (os, "replace", 1), (Index, "move", 1), (Index, "drop", 1), (os, "unlink", 3),
])  # fmt: skip
def test_a_merge_that_ends_anywhere_loses_nothing(tmp_path, monkeypatch, owner, name, calls):
    original = getattr(owner, name)
    for at in range(1, 100):
        store, seen = Store(tmp_path / f"{at}"), [0]
        for n in range(3):
            put(store, n)

        def call(*arguments, seen=seen, at=at, **options):
            if owner is not os or name == "fsync" or "/blocks/" in str(arguments):  # leases are files too
                seen[0] += 1
                if seen[0] >= at:
                    raise Killed
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, call)
        with suppress(Killed):
            compacting.compact(store, compacting.plan(store))
        monkeypatch.setattr(owner, name, original)
        again = Store(store.path)
        assert get(again, 0, 1, 2) == [0, 1, 2]
        compacting.compact(again, compacting.plan(again))
        assert len(again.on_disk()) == 1 and compacting.plan(again) == []
        assert get(Store(store.path), 2, 0, 1) == [2, 0, 1]
        if seen[0] < at:
            break
    assert at > calls


def test_what_a_merge_frees_is_announced(store, tmp_path):
    for n in range(4):
        put(store, n)
    dry = cache("compact", "--dry-run", store=store).output
    assert dry.splitlines()[0] == "4 blocks to be written anew as 1, which frees what their manifests take"
    put(store, 3, 4, by="another")
    some = run_folder(tmp_path / "run", 0, 1)
    dry = cache("compact", some, "--dry-run", store=store).output
    assert re.match(
        r"5 blocks to be written anew as 1, without 4 items not wanted, which frees about [\d.]+ k?B\n", dry
    )
    done = cache("compact", "--yes", store=store).output
    assert re.search(r"^freed [\d.]+ kB$", done, flags=re.MULTILINE)


def test_a_reader_follows_what_was_compacted_meanwhile(store, monkeypatch):
    put(store, 1, 2, 3)
    put(store, 1, 2, 3, 4, by="another")
    reader = Store(store.path)
    places = reader.find([key(4)])
    compacting.compact(store, compacting.plan(store))
    answers = iter([places])  # what the reader looked up before
    find = reader.find
    monkeypatch.setattr(reader, "find", lambda keys: next(answers, None) or find(keys))
    assert get(reader, 4) == [4]


def test_the_command_says_what_goes_and_asks(store, tmp_path):
    put(store, 1)
    put(store, 2)
    run = run_folder(tmp_path / "run", 1)
    dry = cache("collect", "--unreachable", run, "--dry-run", store=store)
    assert dry.exit_code == 0, dry.output
    assert "test: 1 items in 1 blocks" in dry.output
    assert "1 of 2 blocks go" in dry.output and "nothing was changed" in dry.output
    assert "nothing was changed" in cache("collect", "--unreachable", run, store=store, input="n\n").output
    assert known(store, 1, 2) == {1, 2}
    assert "removed 1 items" in cache("collect", "--unreachable", run, store=store, input="y\n").output
    assert known(store, 1, 2) == {1}
    assert "removed 1 items" in cache("collect", "--keep", "0B", "--yes", store=store).output
    for wrong in (["--unreachable"], [run], []):
        assert isinstance(cache("collect", *wrong, store=store).exception, UserError)


def test_runs_are_named_alike_and_one_that_is_not_planned_stands_on_nothing(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = put(store, 0)
    put(store, 1)
    planned = run_folder(tmp_path / "runs" / "planned", 0)
    (planned / "provenance.json").touch()
    planning = tmp_path / "runs" / "killed"
    planning.mkdir()
    (planning / "events.jsonl").touch()
    for name in ("last", "planned", planned):
        assert "exported to" in cache("export", name, "--to", tmp_path / "copy", store=store).output
        assert "without 1 item not wanted" in cache("compact", name, "--share", 1, "--dry-run", store=store).output
    done = cache("collect", "--unreachable", planning, planned, "--yes", store=store)
    assert done.exit_code == 0, done.output
    assert store.on_disk() == {wanted}
    alone = cache("compact", planning, store=store)
    assert isinstance(alone.exception, UserError) and "isn't planned yet" in str(alone.exception)


def test_the_other_commands(store, tmp_path):
    bad = put(store, 1)
    put(store, 2, 3)
    run = run_folder(tmp_path / "run", 2)
    assert "pinned 1 items" in cache("pin", run, store=store).output
    listed = cache("list", store=store).output
    assert "test" in listed and "3" in listed and "pinned: run-" in listed
    assert bad[:12] in cache("list", "--blocks", store=store).output
    assert cache("size", store=store).output.startswith("2 blocks with 3 items: ")
    assert "2 blocks read, and all is as it was written" in cache("verify", store=store).output
    assert "holds 2 blocks with 3 items" in cache("rebuild-index", store=store).output
    hurt(file_of(store.path, bad))
    found = cache("verify", store=store)
    assert found.exit_code == 1 and "1 of 2 blocks damaged and set aside" in found.output
    assert "set aside as damaged" in cache("size", store=store).output
    old = store.path / "blocks" / "ab" / ("ab" + "0" * 38) / "zarr.json"
    old.parent.mkdir(parents=True)
    old.write_text("{}")
    said = cache("size", store=store).output
    assert "1 entries of " in said and "of an earlier version: they are not read and may be deleted" in said
    assert cache("compact", store=store).output == "no block needs to be written anew\n"
    assert cache("unpin", run, store=store).exit_code == 0
    nowhere = CliRunner().invoke(command, ["cache", "size", "--store", str(tmp_path / "none")])
    assert "there is no store at" in str(nowhere.exception)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("option", "said"), [("--keep", "'' is no size"), ("--older", "'' is no age")])
def test_a_rule_that_says_nothing_is_a_mistake(store, option, said):
    put(store, 1)
    found = cache("collect", option, "", "--yes", store=store)
    assert isinstance(found.exception, UserError) and said in str(found.exception)


def test_sizes_and_ages():
    assert [size(t) for t in ("50GB", "1.5 kB", "7", "2GiB")] == [50 * 10**9, 1500, 7, 2**31]
    assert [age(t) for t in ("30d", "12h", "0.5m")] == [30 * DAY, 12 * 3600, 30]
    assert [shown(n) for n in (0, 999, 1250, 5e10, 2.5e12)] == ["0 B", "999 B", "1.25 kB", "50 GB", "2.5 TB"]
    for function, text in ((size, "50 apples"), (size, "GB"), (age, "30"), (age, "d")):
        with pytest.raises(UserError):
            function(text)


def test_help_needs_no_torch():
    import subprocess
    import sys

    code = "import sys; sys.argv=['flowgen','cache','--help']\nfrom flowgen.cli import flowgen\ntry:\n flowgen()\n"
    code += "except SystemExit: pass\nassert 'torch' not in sys.modules and 'pydantic' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = "list size verify rebuild-index collect compact export import pin unpin"
    for name in names.split():
        assert f"\n  {name} " in done.stdout
