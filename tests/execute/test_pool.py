"""A process's models: loaded once, let go of by use within a budget of bytes."""

import gc
import weakref

import pytest
import torch

from flowgen.execute.memory import left_alone
from flowgen.execute.pool import Pool, StaleWeights
from flowgen.values.model import Loader, Part

SIZE = 4000
"""bytes of a part"""


class Selves(Loader):
    """Networks that refer to themselves, as those with hooks do: only the collector frees them."""

    def load(self, part, device):
        made = torch.nn.Linear(SIZE // 4, 1, bias=False).to(device)
        made.me = [made]
        return made


def parts(count):
    return [Part(f"part{n}", f"{__name__}:Selves", "", f'{{"n": {n}}}') for n in range(count)]


def opener(pool):
    return pool.opener("cpu", {}, lambda path: "")


def test_parts_are_loaded_once_and_the_least_recently_used_go():
    pool = Pool(budget=2 * SIZE)
    one, two, three = parts(3)
    first, second = (weakref.ref(opener(pool)(part)) for part in (one, two))
    assert opener(pool)(one) is first()
    assert pool.loads == 2
    opener(pool)(three)
    assert first() is not None
    assert second() is None
    opener(pool)(two)
    assert (pool.loads, len(pool.held)) == (4, 2)


def test_the_newest_stays_even_if_it_alone_is_too_large():
    pool = Pool(budget=SIZE - 1)
    for part in parts(2):
        assert opener(pool)(part) is next(iter(pool.held.values()))
    assert (pool.loads, len(pool.held)) == (2, 1)


def test_what_goes_while_a_run_leaves_it_alone_is_freed_all_the_same():
    pool = Pool(budget=SIZE)
    one, two = parts(2)
    held = weakref.ref(opener(pool)(one))
    with left_alone():
        assert gc.get_freeze_count()
        opener(pool)(two)
        assert held() is None
    assert not gc.get_freeze_count()


def test_a_part_in_use_lives_on_with_its_task():
    pool = Pool(budget=SIZE)
    one, two = parts(2)
    task = opener(pool)
    used = task(one)
    opener(pool)(two)
    assert task(one) is used
    assert pool.loads == 2


def test_weights_that_changed_after_the_plan_are_refused():
    (one,) = parts(1)
    with pytest.raises(StaleWeights, match="changed after the run was planned"):
        Pool().opener("cpu", {one: "another"}, lambda path: "")(one)
