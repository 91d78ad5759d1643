"""Columns of keys: each the same as the key made alone."""

import numpy as np
import pytest

from flowgen.store import Store, key_columns, keys
from flowgen.store.index import About


def some(tag, count):
    return np.array([keys.digest(tag, str(n)) for n in range(count)], dtype=key_columns.DTYPE)


def test_a_column_holds_the_keys_of_its_rows(monkeypatch):
    monkeypatch.setattr(key_columns, "ROWS", 4)
    one, two, head = some("one", 11), some("two", 11), keys.node_head("x", 1, "fast")
    texts = key_columns.Texts(["a", "größer", ""], np.arange(11) % 3)
    ports = [("x", [one]), ("y", [two, one]), ("z", [])]
    for params in ("a", texts):
        made = key_columns.item_keys(head, params, ports, 11)
        for n in range(11):
            text = params if isinstance(params, str) else params.texts[n % 3]
            mine, other = one[n].decode(), two[n].decode()
            assert made[n].decode() == keys.item_key(head, text, [("x", [mine]), ("y", [other, mine]), ("z", [])])
    constant = key_columns.item_keys(head, "a", [], 2)
    assert constant.tolist() == [keys.item_key(head, "a", []).encode()] * 2
    assert key_columns.digests("output", [one, "mask"], 11)[5].decode() == keys.output_of(one[5].decode(), "mask")
    pool = np.concatenate([one, one[:3]])
    assert key_columns.pooled(pool) == keys.pooled(key.decode() for key in pool)


def test_a_mapping_of_canonical_texts():
    values = {"b": 1.5, "a": "ä", 'quo"te': [1, None]}
    texts = [keys.canonical(value) for value in values.values()]
    assert keys.canonical_mapping(values, texts) == keys.canonical(values)


def test_distinct_keys_stand_in_the_order_in_which_they_occur():
    column = some("key", 5)[[3, 1, 3, 0, 1]]
    found = key_columns.distinct(column)
    assert found.first.tolist() == [0, 1, 3]
    assert found.item.tolist() == [0, 1, 0, 2, 1]


def test_keys_with_one_short_form_are_told_apart():
    column = np.array([b"a" * 16 + b"b" * 24, b"a" * 16 + b"c" * 24, b"a" * 16 + b"b" * 24], dtype=key_columns.DTYPE)
    assert key_columns.distinct(column).item.tolist() == [0, 1, 0]


@pytest.mark.parametrize("asked", [2, 40])
def test_few_and_many_keys_are_found(tmp_path, asked):
    store, column = Store(tmp_path), some("key", 40)
    assert not store.has(column).any()
    store.index.add(About("block", "toy", 15, 0, 0.0, 0.0), [key.decode() for key in column[1:30:2]])
    assert store.has(column[:asked]).tolist() == [n % 2 == 1 and n < 30 for n in range(asked)]
