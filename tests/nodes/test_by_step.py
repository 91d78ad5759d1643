"""Numbers by step: several steps are looked up ahead, and what is asked for is what is given."""

from __future__ import annotations

import random

import numpy as np
import torch
from flowgen_nodes.schedulers.by_step import ByStep


def test_every_item_gets_the_numbers_of_its_own_step():
    """Whether all go on by one, as mostly, or some jump, begin again or end."""
    dice = random.Random(0)
    tables = [np.random.default_rng(n).random((3, length)) for n, length in enumerate((50, 7, 20))]
    items = [tables[n] for n in (0, 2, 1, 0)]
    found, at = ByStep(items), [0, 0, 0, 0]
    for _ in range(300):
        x = torch.zeros(4, 5, 5, dtype=dice.choice([torch.float32] * 9 + [torch.float64]))
        ahead, n = found.ahead(list(at), x.device)
        expected = np.stack([table[:, step] for table, step in zip(items, at, strict=True)])
        assert ahead.rows()[n].numpy().tolist() == expected.tolist() == found.at(at).tolist()
        for scales, numbers in zip(ahead.scales(0, 3, x)[n], expected.T, strict=True):
            assert scales.dtype == x.dtype and scales.shape == (4, 1, 1)
            assert torch.equal(scales.flatten(), torch.from_numpy(numbers).to(x.dtype))
        if dice.random() < 0.8:
            at = [min(step + 1, table.shape[1] - 1) for step, table in zip(at, items, strict=True)]
        else:
            at = [dice.randrange(table.shape[1]) for table in items]
