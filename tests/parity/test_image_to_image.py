"""Image to image and inpainting of every family whose pipeline exists, against diffusers."""

import cascade_tasks
import pytest
import video_tasks
from picture_tasks import CASES, gaps


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


@pytest.mark.parametrize(("family", "task"), CASES)
def test_equal_to_the_pipeline(tmp_path, folders, family, task):
    latents, made = gaps(tmp_path, folders, family, task)
    assert latents <= 1e-4
    assert made <= 1e-4


@pytest.mark.parametrize(("family", "task"), cascade_tasks.FAMILIES)
def test_cascades_equal_the_pipeline(tmp_path, folders, family, task):
    latents, made = cascade_tasks.gaps(tmp_path, folders, family, task)
    assert latents <= 1e-4
    assert made <= 1e-4


@pytest.mark.parametrize("family", video_tasks.FAMILIES)
def test_videos_equal_the_pipeline(tmp_path, folders, family):
    latents, made = video_tasks.gaps(tmp_path, folders, family)
    assert latents <= 1e-4
    assert made <= 1e-4
