"""A probe tells whether two processes mean the same store, and what keeps one of them from it."""

import os
import shutil
import time

import pytest

from flowgen.store import Store
from flowgen.store.folder import STALE
from flowgen.store.places import is_url
from flowgen.store.probe import Probe, answer


def refuse(*_):
    raise PermissionError(13, "Permission denied")


def test_an_answer_is_seen_and_nothing_is_left(place):
    store = Store(place)
    with Probe(place) as probe:
        assert not probe.answered("me")
        assert answer(str(place), probe.name, "me") == ""
        assert probe.answered("me") and not probe.answered("you")
    assert store.medium.entries("tmp") == []
    assert is_url(place) or not list((place / "tmp").iterdir())


def test_another_store_and_none_are_told_apart(place, tmp_path):
    other = f"{place}-other" if is_url(place) else tmp_path / "other"
    Store(other)
    with Probe(place) as probe:
        assert answer(str(other), probe.name, "me") == f"the store {other} is another one there"
    assert answer(str(tmp_path / "none"), "tmp/probe-0", "me") == f"the store {tmp_path / 'none'} isn't there"
    assert not (tmp_path / "none").exists()


def test_a_store_that_refuses_says_why(tmp_path, monkeypatch):
    Store(tmp_path)
    with Probe(tmp_path) as probe:
        monkeypatch.setattr("os.replace", refuse)
        assert "can't be written: Permission denied" in answer(str(tmp_path), probe.name, "me")


def test_a_cloud_that_refuses_says_why(url, endpoint, monkeypatch):
    Store(url)
    with Probe(url) as probe:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setattr("flowgen.store.patience.PATIENCE", 0.0)
        assert "didn't answer" in answer(url, probe.name, "me")


def test_a_probe_outlives_the_day_after_which_the_dead_s_things_go(tmp_path, monkeypatch):
    store = Store(tmp_path)
    monkeypatch.setattr("flowgen.store.probe.AGAIN", 0.02)
    with Probe(tmp_path) as probe:
        folder = tmp_path / probe.name
        long_ago = time.time() - 2 * STALE
        os.utime(folder, (long_ago, long_ago))
        end = time.monotonic() + 10
        while folder.stat().st_mtime < long_ago + STALE and time.monotonic() < end:
            time.sleep(0.01)
        store.medium.prepare()
        assert answer(str(tmp_path), probe.name, "late") == ""


def test_the_end_of_a_probe_never_hides_how_a_run_ended(tmp_path, monkeypatch):
    Store(tmp_path)
    with Probe(tmp_path) as probe:
        shutil.rmtree(tmp_path / probe.name)  # by hand
    with Probe(tmp_path) as probe:
        (tmp_path / probe.name / "late").mkdir()
    monkeypatch.setattr("os.unlink", refuse)
    with pytest.raises(KeyError, match="the run's own"), Probe(tmp_path):
        raise KeyError("the run's own")
