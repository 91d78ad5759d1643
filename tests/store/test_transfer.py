"""Entries moved between stores, by folder and by tar file."""

import io
import tarfile

import pytest
from click.testing import CliRunner
from storing import file_of, get, hurt, known, put, run_folder

from flowgen.cli import flowgen as command
from flowgen.errors import UserError
from flowgen.store import Store
from flowgen.store.reach import keys_of
from flowgen.store.transfer import export, import_


@pytest.mark.parametrize("target", ["folder", "file.tar"])
def test_a_run_moves_to_another_store(tmp_path, target):
    store, other = Store(tmp_path / "a"), Store(tmp_path / "b")
    put(store, 1, 2)
    put(store, 3)
    put(store, 4)
    run = run_folder(tmp_path / "run", 1, 3, 9)
    done = export(store, keys_of([run]), tmp_path / target)
    assert (done.blocks, done.items, done.missing) == (2, 3, 1)
    taken = import_(other, tmp_path / target)
    assert (taken.blocks, taken.items, taken.bytes) == (2, 3, done.bytes)
    assert known(other, *range(10)) == {1, 2, 3}
    assert get(other, 3, 2) == [3, 2]
    assert other.verify() == []
    assert import_(other, tmp_path / target).there == 2


def test_an_exported_folder_is_a_store(tmp_path):
    store = Store(tmp_path / "a")
    put(store, 1)
    export(store, [bytes(19) + b"\1"], tmp_path / "folder")
    assert get(Store(tmp_path / "folder"), 1) == [1]


def test_what_is_damaged_is_neither_exported_nor_imported(tmp_path):
    store = Store(tmp_path / "a")
    bad, good = put(store, 1), put(store, 2)
    export(store, [bytes(19) + b"\1", bytes(19) + b"\2"], tmp_path / "folder")
    for root in (store.path, tmp_path / "folder"):
        hurt(file_of(root, bad))
    call = ["cache", "import", str(tmp_path / "folder"), "--store", str(tmp_path / "b")]
    found = CliRunner().invoke(command, call)
    assert found.exit_code == 1
    assert f"block {bad[:12]} is damaged and was left out" in found.output
    assert Store(tmp_path / "b").on_disk() == {good}
    assert set(export(store, [bytes(19) + b"\1"], tmp_path / "x.tar").bad) == {bad}


def test_a_tar_file_can_not_write_elsewhere(tmp_path):
    """Names that lead elsewhere are no blocks, and what a block holds becomes no file."""
    store = Store(tmp_path / "deep" / "er" / "store")
    name = put(Store(tmp_path / "a"), 1)
    data = file_of(tmp_path / "a", name).read_bytes()
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        for path in (f"../../../blocks/{name[:2]}/{name}.zip", f"blocks/{name[:2]}/../{name}.zip", "blocks/evil.zip"):
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    done = import_(store, tmp_path / "evil.tar")
    assert done.blocks == 0 and done.bad == {} and store.on_disk() == set()
    assert len(list(tmp_path.rglob("*.zip"))) == 1


def test_what_is_no_export_is_said(tmp_path):
    (tmp_path / "text").write_text("hello")
    for source in ("text", "none", "."):
        with pytest.raises(UserError, match="can't be read"):
            import_(Store(tmp_path / "s"), tmp_path / source)


def test_a_source_is_opened_before_a_store_is_made(tmp_path):
    (tmp_path / "text").write_text("hello")
    for source in ("text", "none", "."):
        call = ["cache", "import", str(tmp_path / source), "--store", str(tmp_path / "s")]
        found = CliRunner().invoke(command, call)
        assert isinstance(found.exception, UserError) and "can't be read" in str(found.exception)
        assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("name", ["out.tgz", "out.tar.gz", "out.ZIP"])
def test_no_folder_is_named_as_an_archive_of_another_kind(tmp_path, name):
    store = Store(tmp_path / "a")
    put(store, 1)
    run = run_folder(tmp_path / "run", 1)
    call = ["cache", "export", str(run), "--to", str(tmp_path / name), "--store", str(store.path)]
    found = CliRunner().invoke(command, call)
    assert isinstance(found.exception, UserError) and found.exception.hint == "--to NAME.tar"
    assert not (tmp_path / name).exists()
    (tmp_path / name).mkdir()  # as an earlier version made it
    assert CliRunner().invoke(command, call).exit_code == 0
