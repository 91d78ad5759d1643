"""Numbers at some steps in a row: every answer is that of plain indexing, whatever was asked before."""

from __future__ import annotations

import random

import torch

from flowgen.values.ahead import MOST, Ahead
from flowgen.values.per_item import over_items


def check(ahead: Ahead, numbers: torch.Tensor, n: int, x: torch.Tensor) -> None:
    assert torch.equal(ahead.rows()[n], numbers[n])
    assert torch.equal(ahead.column(1, torch.long)[n], numbers[n, :, 1].long())
    for k, scales in enumerate(ahead.scales(1, 4, x)[n]):
        assert scales.dtype == x.dtype and torch.equal(scales, over_items(numbers[n, :, 1 + k], x))


def test_answers_are_those_of_plain_indexing():
    dice = random.Random(0)
    numbers, other = 10 * torch.rand(2, 5, 4, 6, dtype=torch.float64)
    first, second = Ahead(numbers), Ahead(other)
    for _ in range(10 * MOST):
        n, rows = dice.randrange(5), tuple(dice.choices(range(4), k=dice.randrange(7)))
        dtype, shape = dice.choice([torch.float32, torch.float64, torch.bfloat16]), dice.choice([(3,), (3, 2, 2)])
        for ahead, expected in (
            (first, numbers),
            (first.take(rows), numbers[:, list(rows)]),
            (first.beside([first, second]), torch.cat([numbers, numbers, other], 1)),
            (second.beside([first.take(rows)]), torch.cat([other, numbers[:, list(rows)]], 1)),
        ):
            check(ahead, expected, n, torch.zeros(expected.shape[1], *shape, dtype=dtype))
        assert len(first.made) <= MOST


def test_what_is_gone_is_not_taken_for_what_is_new():
    """An answer is known by the identity of others, which another thing may have when they are gone."""
    own = Ahead(torch.zeros(1, 1, 1, dtype=torch.float64))
    for n in range(5 * MOST):
        assert own.beside([Ahead(torch.full((1, 1, 1), float(n)).double())]).numbers.flatten().tolist() == [0, n]
