"""What a process says of its libraries: what it computes with, not what was installed since."""

import importlib.metadata
import sys
from types import SimpleNamespace

import torch

from flowgen.execute import software


def test_a_library_that_is_loaded_tells_its_own_version(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "99.0")
    assert software.version("torch") == torch.__version__.partition("+")[0] != "99.0"
    monkeypatch.setitem(sys.modules, "loaded", SimpleNamespace(__version__="1.2+cu128"))
    assert software.version("loaded") == "1.2"


def test_one_that_is_not_is_asked_for_once(monkeypatch):
    software.installed.cache_clear()
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.0")
    assert software.version("later") == "1.0"
    monkeypatch.setitem(sys.modules, "mute", SimpleNamespace())
    assert software.version("mute") == "1.0"
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.0")
    assert (software.version("later"), software.version("mute")) == ("1.0", "1.0")
    software.installed.cache_clear()


def test_what_is_not_installed_is_absent():
    assert software.version("no-such-library") == software.ABSENT
