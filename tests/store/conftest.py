"""Places for stores."""

import pytest


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path):
    """Where a store may lie."""
    return tmp_path / "store" if request.param == "folder" else request.getfixturevalue("url")
