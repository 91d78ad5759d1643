"""A file that changes after the run was planned fails the items that read it; their keys keep nothing of it."""

from __future__ import annotations

import os

import numpy as np
import pytest
import toys
from flowgen_nodes.images import load as images
from PIL import Image
from small import Lab, computed
from toys import Count, CountState, Number

from flowgen.execute.events import Silent
from flowgen.node import Source, node
from flowgen.store import Store
from flowgen.values import PerItem
from flowgen.values.random import is_abstract

PHOTOS = """\
flowgen: 1
sweep: {photo: {files: "photos/*.png"}}
nodes:
  digits: {type: model, from: ZOO/digits}
  picture: {type: image.load, file: $photo}
  latent: {type: encoder.vae, model: $digits, image: $picture}
outputs: [picture, latent]
"""
CHOSEN = """\
flowgen: 1
sweep: {which: [0, 1]}
nodes:
  digits: {type: model, from: ZOO/digits}
  one: {type: image.load, file: photos/0.png}
  other: {type: image.load, file: photos/1.png}
  picture: {type: select, from: [$one, $other], index: $which}
  latent: {type: encoder.vae, model: $digits, image: $picture}
outputs: [latent]
"""
LOOP = """\
flowgen: 1
sweep: {start: [1, 2]}
nodes:
  one: {type: toy.number, value: $start}
  sum: {type: toy.count, start: $one, change: $more, steps: 4, checkpoint: {every: 1}}
  more: {type: toy.scale, x: $sum.x}
outputs: [sum]
"""
IN_BODY = LOOP.replace("toy.scale", "files.scale, file: number.txt")
IN_LOOP = LOOP.replace("toy.count", "files.count, file: number.txt")
LISTING = """\
flowgen: 1
sweep: {value: [1, 2]}
nodes:
  list: {type: files.listing, folder: photos, value: $value}
outputs: [list]
"""
NEEDED = "it needs 'picture', which failed"
BLACK, GREY, WHITE = -1.0, 160 / 127.5 - 1, 1.0
LATE: list[int] = []
"""the reading of a number before which its file changes"""


def number_in(file: Source) -> float:
    """The number in a file, which changes as ``LATE`` says."""
    if LATE and not is_abstract():
        LATE[0] -= 1
        if not LATE[0]:
            file.path.write_text("7")
    return float(file.path.read_text())


@node("files.scale")
def scale(x: Number, file: Source) -> Number:
    """x times the number in a file."""
    return Number(x.data * number_in(file))


@node("files.count")
class FileCount(Count):
    """A loop that reads a file in each step."""

    file: Source

    def advance(self, state: CountState, i: PerItem[int], change: Number) -> CountState:
        return CountState(state.x + change.data * number_in(self.file))


@node("files.listing", stored=True)
def listing(folder: Source, value: PerItem[int]) -> Number:
    """How many files a folder has, times a number."""
    return Number(value.tensor[:, None].double() * len(list(folder.path.iterdir())))


class Then(Silent):
    """Does something once the plan is made."""

    def __init__(self, act):
        self.act = act

    def planned(self, plan):
        self.act()


def photo(folder, name, value, size=32):
    (folder / "photos").mkdir(exist_ok=True)
    Image.new("RGB", (size, size), (value,) * 3).save(folder / "photos" / name)


@pytest.fixture
def lab(tmp_path, zoo_folder):
    for n in range(3):
        photo(tmp_path, f"{n}.png", 80 * n)
    (tmp_path / "number.txt").write_text("3")
    LATE.clear()
    toys.calls.clear()
    return Lab(tmp_path, zoo_folder)


def means(run) -> list[float]:
    """Of each photo, the mean of its picture; NaN where it failed."""
    found = run.results.picture.values
    return found.reshape(len(found), -1).mean(1).tolist()


def causes(run) -> dict[str, str]:
    """By item."""
    return {str(failure).partition(": ")[0]: failure.cause for failure in run.failures}


def change(lab):
    photo(lab.folder, "1.png", 255)


def resize(lab):
    photo(lab.folder, "1.png", 255, size=64)


def spoil(lab):
    (lab.folder / "photos" / "1.png").write_text("no picture")


@pytest.mark.parametrize("act", [change, resize, spoil])
def test_a_changed_file_fails_its_item_and_the_others_go_on(lab, act):
    run = lab.run(PHOTOS, options={"events": Then(lambda: act(lab))})
    assert computed(run) == {"picture": 2, "latent": 2}
    assert means(run) == pytest.approx([BLACK, np.nan, GREY], abs=1e-3, nan_ok=True)
    said = (
        "'photos/1.png' changed since the run was planned\n  run again; workers on other machines need the same files"
    )
    assert causes(run) == {"picture[photo=photos/1.png]": said, "latent[photo=photos/1.png]": NEEDED}
    photo(lab.folder, "1.png", 255)
    again = lab.run(PHOTOS)
    assert computed(again) == {"picture": 1, "latent": 1}
    assert means(again) == pytest.approx([BLACK, WHITE, GREY], abs=1e-3)
    photo(lab.folder, "1.png", 80)
    back = lab.run(PHOTOS)
    assert computed(back) == {"picture": 1, "latent": 1}
    assert means(back) == pytest.approx([BLACK, 80 / 127.5 - 1, GREY], abs=1e-3)


def test_processes_of_their_own_compare_too(lab):
    run = lab.run(PHOTOS, options={"events": Then(lambda: change(lab)), "workers": 2})
    assert means(run) == pytest.approx([BLACK, np.nan, GREY], abs=1e-3, nan_ok=True)


def test_a_file_that_is_not_there_any_more_fails_its_item(lab):
    run = lab.run(PHOTOS, options={"events": Then((lab.folder / "photos" / "1.png").unlink)})
    assert means(run) == pytest.approx([BLACK, np.nan, GREY], abs=1e-3, nan_ok=True)
    assert causes(run)["picture[photo=photos/1.png]"].startswith("'photos/1.png' is gone since the run was planned")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_file_that_changes_while_it_is_read_fails_its_item(lab, monkeypatch, moment):
    read = images.read

    def changing(file, *arguments):
        if is_abstract() or file.path.name != "1.png":
            return read(file, *arguments)
        if moment == "before":
            change(lab)
        found = read(file, *arguments)
        change(lab)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(images, "read", changing)
        run = lab.run(PHOTOS)
    assert means(run) == pytest.approx([BLACK, np.nan, GREY], abs=1e-3, nan_ok=True)
    photo(lab.folder, "1.png", 80)
    assert means(lab.run(PHOTOS)) == pytest.approx([BLACK, 80 / 127.5 - 1, GREY], abs=1e-3)


def test_a_file_that_was_touched_or_moved_back_is_the_same(lab):
    def touch():
        os.utime(lab.folder / "photos" / "0.png", ns=(1, 1))
        photo(lab.folder, "1.png", 80)

    assert lab.run(PHOTOS, options={"events": Then(touch)}).failures == []


def test_what_reads_no_changed_file_goes_on(lab):
    run = lab.run(CHOSEN, options={"events": Then(lambda: change(lab))})
    assert computed(run) == {"latent": 1}
    assert list(causes(run)) == ["latent[which=1]"]


def test_a_folder_is_what_is_in_it(lab):
    run = lab.run(LISTING, options={"events": Then(lambda: photo(lab.folder, "3.png", 255))})
    assert {cause.partition("\n")[0] for cause in causes(run).values()} == {
        "'photos' changed since the run was planned"
    }
    assert lab.run(LISTING).results.list.values.ravel().tolist() == [4, 8]


@pytest.mark.parametrize("text", [IN_BODY, IN_LOOP])
def test_states_on_the_way_are_stored_only_of_files_as_planned(lab, text):
    LATE.append(3)
    run = lab.run(text)
    assert computed(run) == {}
    assert len(run.failures) == 2
    for number, total in ((7, 8**4), (3, 4**4)):
        (lab.folder / "number.txt").write_text(str(number))
        assert lab.run(text).results["sum"].values.ravel().tolist() == [total, 2 * total]


def test_parcels_carry_their_own_files_and_a_plan_asks_for_each_once(lab, monkeypatch):
    asked: list[str] = []
    digest = Store.file_digest

    def noted(store, path):
        asked.append(path.name)
        return digest(store, path)

    monkeypatch.setattr(Store, "file_digest", noted)
    twin = "  twin: {type: mask.load, file: $photo}\noutputs: [latent, twin]"
    plan = lab.load(PHOTOS, ("outputs: [picture, latent]", twin)).plan(lab.store, batch=1, workers=3)
    assert sorted(name for name in asked if name.endswith(".png")) == ["0.png", "1.png", "2.png"]
    files = [plan.parcel(cut).files for cut in plan.parcels if cut.stage == "latent"]
    assert [list(each) for each in files] == [[str(lab.folder.resolve() / "photos" / f"{n}.png")] for n in range(3)]
    numbers = lab.plan(LOOP)
    assert [numbers.parcel(cut).files for cut in numbers.parcels] == [{}]
