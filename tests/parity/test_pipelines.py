"""Families from text to what is decoded, against diffusers' pipelines on the same weights, prompts and seeds."""

import pytest
from cases import CASES
from led_cases import LED


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


@pytest.mark.parametrize("case", CASES + LED, ids=str)
def test_equal_to_the_pipeline(tmp_path, folders, case):
    latents, made = case.gaps(tmp_path, folders)
    assert latents <= 1e-4
    assert made <= 1e-4
