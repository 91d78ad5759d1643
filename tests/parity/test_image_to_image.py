"""Image to image and inpainting of every family whose pipeline exists, against diffusers."""

import pytest
from picture_tasks import FAMILIES, TASKS, gaps


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("family", FAMILIES)
def test_equal_to_the_pipeline(tmp_path, folders, family, task):
    latents, made = gaps(tmp_path, folders, family, task)
    assert latents <= 1e-4
    assert made <= 1e-4
