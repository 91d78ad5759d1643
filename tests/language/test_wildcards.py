"""What patterns of files match: what Python's glob gives, within bounds."""

import glob
from pathlib import Path

import pytest

from flowgen.errors import UserError
from flowgen.language import wildcards
from flowgen.language.wildcards import matching

FILES = ("x.png", ".h.png", "[a].png", "a/x.png", "a/b/y.png", "a/b/c/x.png", "a/.git/z.png", "b/x.txt", "b.png/x.png")
PATTERNS = (
    "x.png",
    "./x.png",
    "nothing.png",
    "a",
    "*.png",
    ".*.png",
    "?.png",
    "[!x]*.png",
    "[[]a].png",
    "*",
    "*/",
    "*/*",
    "a/*/./x.png",
    "a//b/*",
    "*/b/c/x.png",
    "*/.git/*",
    "**",
    "**/",
    "**/*",
    "**/x.png",
    "**/b/*.png",
    "a/**/x.png",
    "**/.git/*",
    "**/*/x.png",
    "**.png",
    "a/b/../*.png",
    "../*/x.png",
    "link/*",
    "**/link/*.png",
    "broken*",
)


@pytest.fixture
def folder(tmp_path):
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "broken.png").symlink_to("nowhere")
    return tmp_path


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("rooted", [False, True], ids=["relative", "absolute"])
def test_a_pattern_matches_what_glob_does(folder, pattern, rooted):
    pattern = f"{folder}/{pattern}" if rooted else pattern
    found = glob.glob(pattern, root_dir=folder, recursive=True)
    assert matching(pattern, folder) == {Path(text).as_posix() for text in found if (folder / text).is_file()}


def test_a_link_to_its_own_folder_is_followed_as_far_as_the_system_does(tmp_path):
    (tmp_path / "x.png").touch()
    (tmp_path / "me").symlink_to(".")
    assert matching("**/*.png", tmp_path) == set(map(str, glob.glob("**/*.png", root_dir=tmp_path, recursive=True)))


def test_several_stars_in_a_row_enter_a_folder_once(folder, monkeypatch):
    monkeypatch.setattr(wildcards, "MAX_FOLDERS", 12)
    assert matching("**/**/*/**/*/**/**/x.png", folder) == {"a/b/c/x.png", "link/b/c/x.png"}


@pytest.mark.parametrize("pattern", ["*/../x.png", "**/../**/x.png", "a/*/..", "/*/../*/../*.png"])
def test_what_lies_above_a_wildcard_is_refused(folder, pattern):
    with pytest.raises(UserError, match=r"has '\.\.' behind a wildcard"):
        matching(pattern, folder)


def test_folders_are_counted_behind_links_too(folder, monkeypatch):
    (folder / "a" / "up").symlink_to("..")
    monkeypatch.setattr(wildcards, "MAX_FOLDERS", 100)
    with pytest.raises(UserError, match="takes in more than 100 folders"):
        matching("*/up/" * 9 + "*/*/*", folder)


def test_names_are_counted(folder, monkeypatch):
    monkeypatch.setattr(wildcards, "MAX_LOOKS", 5)
    with pytest.raises(UserError, match="compares more than 5 names"):
        matching("*.png", folder)


def test_a_pattern_is_no_longer_than_a_path(folder):
    with pytest.raises(UserError, match="at most 4096 characters"):
        matching("[" * 1_000_000, folder)
