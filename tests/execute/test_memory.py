"""Memory that runs out halves the batch down to one item, with the same results; what was learned is remembered."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small import SMALL, Lab

import flowgen.execute.task as task
from flowgen.execute.caller import Caller
from flowgen.execute.driver import RunFailed
from flowgen.execute.task import open_store
from flowgen.store.limits import remembered

SIZES: list[int] = []
"""items of each call of the network"""


@pytest.fixture
def lab(tmp_path, zoo_folder, monkeypatch):
    SIZES.clear()
    monkeypatch.setattr(task, "_LIMITS", {})
    return Lab(tmp_path, zoo_folder)


def holds(monkeypatch, most, error=torch.OutOfMemoryError):
    """A device that has room for so many items of the denoiser."""
    before = Caller.once

    def once(caller, made):
        if made.type.name == "denoiser":
            SIZES.append(made.count)
            if made.count > most:
                raise error("can't allocate memory: you tried to allocate 8 bytes")
        return before(caller, made)

    monkeypatch.setattr(Caller, "once", once)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_the_batch_is_halved_and_the_images_stay(lab, tmp_path, zoo_folder, monkeypatch, error):
    graph = SMALL.replace("[image, clip, fid]", "[image]")
    (tmp_path / "roomy").mkdir()
    roomy = Lab(tmp_path / "roomy", zoo_folder).run(graph).results.image.values
    holds(monkeypatch, 2, error)
    found = lab.run(graph)
    assert found.failures == []
    assert np.abs(found.results.image.values - roomy).max() < 1e-4
    assert max(SIZES[-3:]) == 2
    assert sum(size > 2 for size in SIZES) <= 8  # two kinds of calls, halved until they fit, once


def test_what_was_learned_is_remembered_by_the_next_run(lab, monkeypatch):
    graph = SMALL.replace("[image, clip, fid]", "[image]")
    holds(monkeypatch, 4)
    lab.run(graph)
    assert max(SIZES) > 4
    assert set(remembered(open_store(str(lab.store)).medium).values()) <= {1, 2, 3, 4}
    SIZES.clear()
    monkeypatch.setattr(task, "_LIMITS", {})  # as in another process
    other = lab.run(graph.replace("{range: 3}", "[7, 8, 9]"))
    assert other.failures == []
    assert max(SIZES) <= 4


def test_a_single_item_that_is_too_large_says_so(lab, monkeypatch):
    holds(monkeypatch, 0)
    done = lab.run(SMALL.replace("[image, clip, fid]", "[image]").replace("range: 3", "range: 1"))
    assert "'denoiser' needs more memory than there is, for a single item" in str(done.failures[0])


def test_strict_numerics_say_that_the_size_is_theirs(lab, monkeypatch):
    holds(monkeypatch, 3)
    strict = SMALL.replace("flowgen: 1", "flowgen: 1\nnumerics: strict").replace("[image, clip, fid]", "[image]")
    done = lab.run(strict.replace("range: 3", "range: 1"), options={"batch": 4})
    assert "more memory than there is for 4 items at once, the size of strict numerics" in str(done.failures[0])
    assert set(SIZES) == {4}


def test_a_broken_device_ends_the_run_and_blames_no_item(lab, monkeypatch):
    holds(monkeypatch, 0, torch.AcceleratorError)
    with pytest.raises(RunFailed) as caught:
        lab.run(SMALL)
    assert "can't be used by this process any more" in str(caught.value.failures["sampler"])
