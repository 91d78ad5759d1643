"""How far labels are from each other."""

import pytest

from flowgen.plan.wording import gap
from flowgen.store.keys import canonical


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        (1, 1, 0),
        (1, 1.5, 12),
        ("a", "b", 20),
        (1, float("inf"), 20),
        (float("inf"), -float("inf"), 20),
        (float("nan"), 1, 20),
        (float("inf"), float("inf"), 0),
    ],
)
def test_near_numbers_are_nearer_than_texts(one, other, wanted):
    assert gap(canonical(one), canonical(other)) == wanted
