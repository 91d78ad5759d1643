"""A process's models: loaded once, let go of by use within a budget of bytes."""

import gc
import weakref
from typing import Annotated, ClassVar

import pytest
import torch
from toys import Number

from flowgen.errors import UserError
from flowgen.execute.caller import Call, Caller
from flowgen.execute.memory import left_alone
from flowgen.execute.pool import Pool, StaleWeights
from flowgen.node import Uses
from flowgen.node.registry import made
from flowgen.plan.numerics import Numerics
from flowgen.values.model import Loader, Model, NoRoom, Part, opening, size_of

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


@pytest.mark.parametrize("planned", [True, False])
def test_weights_that_change_while_they_are_loaded_are_refused(tmp_path, planned):
    part = Part("part0", f"{__name__}:Selves", str(tmp_path), '{"n": 0}', files=("weights",))
    contents = ["one", "two", "two"]
    digests = {part: part.digest(lambda path: "one")} if planned else {}
    pool = Pool()
    with pytest.raises(StaleWeights, match="changed after the run was planned"):
        pool.opener("cpu", digests, lambda path: contents.pop(0))(part)
    assert (pool.loads, len(pool.held)) == (1, 0)
    assert pool.opener("cpu", {}, lambda path: "two")(part) is next(iter(pool.held.values()))


class Card:
    """A device with room for some bytes of weights, and for an item of a call in as many bytes as a part's."""

    room = 0
    loaded: ClassVar[list[str]] = []
    """names of parts, as they were loaded or tried"""
    sizes: ClassVar[list[int]] = []
    """items of each call"""
    weights: ClassVar[weakref.WeakSet[torch.nn.Module]] = weakref.WeakSet()

    @classmethod
    def take(cls, size):
        if sum(map(size_of, cls.weights)) + size > cls.room:
            raise torch.OutOfMemoryError("CUDA out of memory")


class OnCard(Selves):
    """Networks on the card."""

    def load(self, part, device):
        Card.loaded.append(part.name)
        module = super().load(part, device)
        Card.take(size_of(module))
        Card.weights.add(module)
        return module


@pytest.fixture
def card():
    Card.room, Card.loaded, Card.sizes = 3 * SIZE, [], []
    Card.weights.clear()
    return Card


def doubled(model: Annotated[Model, Uses("part0")], x: Number) -> Number:
    """Twice x."""
    Card.sizes.append(len(x))
    model["part0"]
    Card.take(SIZE * len(x))
    return x * 2


class Task:
    """A task that has opened part1, and calls a node that uses part0."""

    def __init__(self, budget=10 * SIZE, mode="fast", pad=0):
        self.part, self.other = (Part(f"part{n}", f"{__name__}:OnCard", "", f'{{"n": {n}}}') for n in range(2))
        self.pool = Pool(budget)
        self.models = self.pool.opener("cpu", {}, lambda path: "", dict.fromkeys((self.part, self.other), SIZE))
        self.models(self.other)
        self.caller = Caller(Numerics(mode, pad=pad), make_room=self.models.make_room)

    def run(self, count=1):
        model = Model({part.name: part for part in (self.part, self.other)})
        x = Number(torch.arange(float(count))[:, None])
        with opening(self.models):
            outputs, _ = self.caller.run(Call(made("test.doubled", doubled), {"model": model, "x": x}, count))
        assert next(iter(outputs.values())).data.equal(x.data * 2)


def test_others_go_before_a_part_is_loaded_that_would_exceed_the_budget(card):
    card.room = 2 * SIZE
    pool = Pool(budget=2 * SIZE)
    three = [Part(f"part{n}", f"{__name__}:OnCard", "", f'{{"n": {n}}}') for n in range(3)]
    for part in three:  # the card has no room for all three even for a moment
        pool.opener("cpu", {}, lambda path: "", dict.fromkeys(three, SIZE))(part)
    assert card.loaded == ["part0", "part1", "part2"]
    assert len(pool.held) == 2


def test_memory_that_runs_out_while_weights_load_lets_the_others_go(card):
    card.room = SIZE
    task = Task()
    with pytest.raises(UserError, match="more memory than there is, for a single item"):
        task.run()  # of whose result there is no room then
    assert card.loaded == ["part1", "part0", "part0"]
    assert list(task.pool.held) == [task.models.key(task.part, task.part.digest(str))]
    card.room = 2 * SIZE
    task.run()
    assert task.caller.limits.learned == {}


@pytest.mark.parametrize(("mode", "pad"), [("fast", 0), ("strict", 4)])
def test_weights_for_which_there_is_no_room_are_no_batch_that_is_too_large(card, mode, pad):
    card.room = SIZE
    task = Task(mode=mode, pad=pad)
    card.room = SIZE - 1
    for _ in range(3):
        with pytest.raises(NoRoom, match=r"weights of 'part0', .* GiB, don't fit into the memory of cpu"):
            task.run(4)
    assert card.loaded == ["part1", "part0", "part0"]  # beside the other, and alone
    assert set(card.sizes) == {4}
    assert task.caller.limits.learned == {}


@pytest.mark.parametrize(("mode", "pad"), [("fast", 0), ("strict", 2)])
def test_weights_that_a_call_does_not_use_go_before_it_is_halved(card, mode, pad):
    task = Task(mode=mode, pad=pad)
    task.run(2)
    assert card.sizes == [2, 2]
    assert task.caller.limits.learned == {}
    assert len(task.pool.held) == 1


def test_weights_that_come_back_in_a_task_stay_and_the_batch_is_halved(card):
    task = Task()
    task.run(2)
    task.models(task.other)
    task.run(2)
    assert card.loaded == ["part1", "part0", "part1"]
    assert card.sizes == [2, 2, 2, 1, 1]
    assert set(task.caller.limits.learned.values()) == {1}


def undeclared(model: Annotated[Model, Uses("part0")], x: Number) -> Number:
    """Twice x, by a part that the port doesn't name."""
    Card.sizes.append(len(x))
    model["part1"]
    Card.take(3 * SIZE)
    return x * 2


def test_a_call_that_brings_back_what_went_for_it_ends(card):
    task = Task()
    model = Model({part.name: part for part in (task.part, task.other)})
    call = Call(made("test.undeclared", undeclared), {"model": model, "x": Number(torch.zeros(1, 1))}, 1)
    with opening(task.models), pytest.raises(UserError, match="more memory than there is, for a single item"):
        task.caller.run(call)
    assert card.sizes == [1, 1]
