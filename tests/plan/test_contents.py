"""What counts as the content of a folder: all files that code finds there, behind links too."""

import hashlib

import pytest

from flowgen.plan.contents import content
from flowgen.store import keys


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def of(folder):
    return content(folder, digest)


@pytest.fixture
def data(tmp_path):
    """A folder of one file, with another beside it."""
    for name in ("data", "elsewhere/deep"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data" / "own.txt").write_text("1")
    (tmp_path / "elsewhere" / "deep" / "size.txt").write_text("1")
    return tmp_path / "data"


def test_a_folder_without_links_has_the_digest_of_its_files(data):
    (data / "sub").mkdir()
    (data / "sub" / "a.txt").write_text("2")
    files = ["own.txt", "sub/a.txt"]
    assert of(data) == keys.content([(name, digest(data / name)) for name in files])


def test_files_behind_a_link_to_a_folder_count(data):
    plain = of(data)
    (data / "photos").symlink_to(data.parent / "elsewhere")
    linked = of(data)
    (data.parent / "elsewhere" / "deep" / "size.txt").write_text("2")
    assert len({plain, linked, of(data)}) == 3


def test_a_link_reads_as_the_folder_that_it_leads_to(data):
    (data / "photos").symlink_to(data.parent / "elsewhere")
    linked = of(data)
    (data / "photos").unlink()
    (data.parent / "elsewhere").rename(data / "photos")
    assert of(data) == linked


def test_links_in_a_circle_end(data):
    plain = of(data)
    (data / "sub").mkdir()
    (data / "sub" / "up").symlink_to(data)
    (data / "sub" / "self").symlink_to(data / "sub" / "self")
    (data / "first").symlink_to(data.parent / "elsewhere")
    (data.parent / "elsewhere" / "back").symlink_to(data)
    assert of(data) not in ("", plain)
    circle = of(data)
    (data / "sub" / "up").unlink()
    (data / "sub" / "up").symlink_to(data / "sub")
    assert of(data) != circle


def test_two_links_to_one_folder_both_count(data):
    (data / "a").symlink_to(data.parent / "elsewhere")
    once = of(data)
    (data / "b").symlink_to(data.parent / "elsewhere")
    assert of(data) != once


def test_a_link_that_leads_nowhere_counts(data):
    plain = of(data)
    (data / "gone").symlink_to("nowhere")
    broken = of(data)
    (data / "gone").unlink()
    (data / "gone").symlink_to("nowhere else")
    assert len({plain, broken, of(data)}) == 3
