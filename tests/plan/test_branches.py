"""Branches of items that begin alike, against what brute force says of their histories."""

from __future__ import annotations

import random

import numpy as np
import pytest

from flowgen.plan.branches import branches, family, own_steps


def agree(one, other):
    """The leading steps that two histories share."""
    return next((k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def drawn(rng):
    """Histories in the order in which those that share most stand together, and the steps at which items can start."""
    found = {tuple(rng.choice("ab" if rng.random() < 0.3 else "a") for _ in range(7)) for _ in range(rng.randint(1, 9))}
    histories = sorted(history[: rng.choice([7, 7, 7, 5, 3])] for history in found)
    return histories, [rng.choice([0, 0, rng.randint(0, len(history))]) for history in histories]


def shares(histories):
    """What each shares with the one before it."""
    return [-1, *(agree(a, b) for a, b in zip(histories, histories[1:], strict=False))]


def entries(roots, leaving, starts):
    """By item, the lane that it leaves, None if it has none, and the step at which it enters."""
    found = {item: (None, starts[item]) for item in roots}
    for lane, left in leaving.items():
        for step, item in left:
            assert item not in found
            found[item] = (lane, step)
    return found


@pytest.mark.parametrize("seed", range(300))
def test_every_state_is_computed_once_and_none_is_missed(seed):
    histories, starts = drawn(random.Random(seed))
    lengths = dict(enumerate(map(len, histories)))
    roots, leaving = branches(range(len(histories)), shares(histories), starts, lengths)
    found = entries(roots, leaving, starts)
    assert sorted(found) == list(range(len(histories)))
    assert sum(family(root, leaving) for root in roots) == len(histories)
    for item, (lane, step) in found.items():
        if lane is not None:
            assert starts[lane] <= starts[item] <= step < min(lengths[item], lengths[lane])
            assert histories[lane][:step] == histories[item][:step]
            assert found[lane][1] < step or (found[lane][0] is None and starts[lane] <= step)
    for step in range(7):
        there = [item for item in found if starts[item] <= step < lengths[item]]
        states = {histories[item][:step] for item in there}
        before = [item for item in there if found[item][1] < step]
        assert len({histories[item][:step] for item in before}) == len(before)  # a lane for each state
        lanes = {
            found[item][0] if found[item][1] == step and found[item][0] is not None else item
            for item in there
            if found[item][1] <= step
        }
        assert len(lanes) == len(states)  # those that part here come from one lane


@pytest.mark.parametrize("seed", range(300))
def test_steps_of_one_s_own_are_those_of_the_branches(seed):
    histories, starts = drawn(random.Random(seed))
    starts = [0] * len(starts) if seed % 2 else starts
    lengths = list(map(len, histories))
    found = entries(*branches(range(len(histories)), shares(histories), starts, dict(enumerate(lengths))), starts)
    own = own_steps(np.array(shares(histories)), np.array(starts), np.array(lengths))
    assert own.tolist() == [found[item][1] for item in range(len(histories))]
