"""A run's events on a disk that is full for a while."""

import errno
import os
import threading

import pytest

from flowgen.execute.event_log import EventLog, read_records
from flowgen.results.runs import look


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """A log, and the bytes that its disk has room for."""
    log, room, write = EventLog(tmp_path), [10**6], os.write

    def short(file, data):
        if file != log.file:
            return write(file, data)
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = write(file, bytes(data[: room[0]]))
        room[0] -= done
        return done

    monkeypatch.setattr(os, "write", short)
    yield log, room
    log.close()


def messages(log):
    return [found["message"] for found in read_records(log.folder / "events.jsonl")[0] if found["event"] == "note"]


@pytest.mark.parametrize("left", [0, 1, 40, 100])
def test_a_disk_that_is_full_for_a_while_costs_no_record(disk, left):
    log, room = disk
    log.begin(graph="g.yaml", store="s", device="cpu", processes=0)
    log.note("before")
    room[0] = left
    log.note("one")
    log.note("two")
    assert look(log.folder).course.notes[:1] == ["before"]  # a record that is cut off is passed over
    assert "two" not in messages(log)
    room[0] = 10**6
    log.course.planned = True
    with pytest.raises(ValueError, match="why"), log.until_the_end():
        raise ValueError("why")
    assert messages(log) == ["before", "one", "two"]
    seen = look(log.folder)
    assert (seen.state, seen.course.causes) == ("failed", {"run": "ValueError: why"})


def test_threads_write_whole_lines_on_a_disk_that_has_little_room(disk):
    log, room = disk

    def tell(name):
        for n in range(200):
            log.note(f"{name} {n}")
            room[0] = 30 if n % 2 else 0

    threads = [threading.Thread(target=tell, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    room[0] = 10**6
    log.note("last")
    assert sorted(messages(log)) == sorted([*(f"{name} {n}" for name in "abcd" for n in range(200)), "last"])
