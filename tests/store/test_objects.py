"""Object storage that lies, refuses or is away: nothing half-written is read, nothing damaged is answered."""

import sys
import time
from contextlib import nullcontext

import pytest
from click.testing import CliRunner
from s3 import ANOTHER, Drop, Status
from small import on_machine
from storing import file_of, flip, get, hurt, key, known, put

from flowgen.cli import flowgen as command
from flowgen.errors import UserError
from flowgen.store import Lost, Store, Unreachable, Unwritable, patience
from flowgen.store.copies import Copies
from flowgen.store.medium import place_of

pytestmark = pytest.mark.skipif(bool(ANOTHER), reason="only this server fails when it is told to")


@pytest.fixture
def store(url):
    return Store(url)


def at(url, name):
    """Where the server holds a block."""
    return f"{url.removeprefix('s3://')}/{place_of(name)}"


@pytest.mark.parametrize("answered", [False, True])
def test_who_dies_while_a_block_is_sent_leaves_a_whole_one_or_none(
    store, endpoint, url, monkeypatch, tmp_path, answered
):
    """From one of its requests on, a writer hears no more; as seen by others it died there."""
    monkeypatch.setattr(patience, "PATIENCE", 0.0)
    put(store, 0)

    def dies(method, path):
        if method == "PUT" and "/blocks/" in path:
            endpoint.before = gone
            if not answered:
                raise Drop

    def gone(method, path):
        raise Drop

    endpoint.before = dies
    with pytest.raises(Unreachable, match="didn't answer") if not answered else nullcontext():
        put(store, 1)
    endpoint.before = lambda method, path: None
    other = on_machine(monkeypatch, url, "other", tmp_path)
    assert known(other, 0, 1) == {0, 1} if answered else {0}
    assert get(other, *known(other, 0, 1)) == sorted(known(other, 0, 1))
    assert other.verify() == []
    put(store, 1)
    assert get(store, 0, 1) == [0, 1]


def test_a_block_that_another_writer_published_first_is_the_same(url, endpoint, monkeypatch, tmp_path):
    one, two = (on_machine(monkeypatch, url, name, tmp_path) for name in ("one", "two"))
    name = put(one, 1)
    before = dict(endpoint.objects)
    asked = len(endpoint.seen)
    assert put(two, 1) == name
    assert ("PUT", at(url, name)) in endpoint.seen[asked:]
    assert endpoint.objects[at(url, name)] is before[at(url, name)]  # the second was refused
    assert two.on_disk() == {name} and get(two, 1) == get(one, 1) == [1]


def test_every_kind_of_damage_is_found(url, endpoint, monkeypatch, tmp_path):
    """On a machine without copies each is a miss that names the block, and never an answer."""
    good = put(Store(url), 1, 2)
    whole = endpoint.objects[at(url, good)].data
    hurts = [flip(whole, n, 4) for n in range(0, len(whole), len(whole) // 20)] + [whole[:-1], whole[:9], b""]
    for n, data in enumerate(hurts):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / str(n)))
        reader = Store(url)
        assert known(reader, 1, 2) == {1, 2}
        endpoint.objects[at(url, good)].data = data
        with pytest.raises(Lost, match=f"block {good[:8]} is damaged"):
            get(reader, 1)
        assert known(reader, 1, 2) == set() and reader.on_disk() == set()
        (aside,) = [k for k in endpoint.objects if f"/damaged/{good}" in k]
        assert endpoint.objects[aside].data == data
        endpoint.objects[at(url, good)] = endpoint.objects.pop(aside)
        endpoint.objects[at(url, good)].data = whole
    assert get(reader, 2, 1) == [2, 1]


def test_a_damaged_end_is_found_when_the_index_is_made(url, endpoint, monkeypatch, tmp_path):
    bad, good = put(Store(url), 1), put(Store(url), 2)
    held = endpoint.objects[at(url, bad)]
    held.data = flip(held.data, len(held.data) - 9)
    other = on_machine(monkeypatch, url, "other", tmp_path)
    assert known(other, 1, 2) == {2} and other.on_disk() == {good}


def test_a_copy_saves_the_way_and_a_bad_one_is_fetched_anew(store, endpoint, url):
    name = put(store, 1)
    store.recent.clear()
    asked = len(endpoint.seen)
    assert get(store, 1) == [1] and endpoint.seen[asked:] == []
    hurt(file_of(store.copies.folder.root, name))
    store.recent.clear()
    assert get(store, 1) == [1] and len(endpoint.seen) == asked + 1
    store.recent.clear()
    assert get(store, 1) == [1] and len(endpoint.seen) == asked + 1
    assert not [k for k in endpoint.objects if "/damaged/" in k and url.removeprefix("s3://") in k]


def test_a_block_that_is_damaged_on_the_way_is_asked_for_once_more(store, endpoint):
    name = put(store, 1)
    store.forget(name)
    block = at(store.path, name)
    whole, sent = endpoint.objects[block].data, []

    def flip_once(method, path):
        if path == block:
            endpoint.objects[block].data = whole if sent else b"?" + whole[1:]
            sent.append(path)

    endpoint.before = flip_once
    assert get(store, 1) == [1] and len(sent) == 2


def test_copies_take_a_bounded_room(store):
    store.copies = Copies(store.medium.home / "copies", limit=20_000)
    blocks = []
    for n in range(30):
        blocks.append(put(store, n))
        time.sleep(0.005)  # which was used last is told by a file's time
        assert store.copies.read(blocks[0])
    kept = [n for n, name in enumerate(blocks) if store.copies.read(name)]
    assert sum(entry.size for entry in store.copies.folder.entries("blocks")) <= 20_000
    assert kept[0] == 0 and kept[1:] == list(range(kept[1], 30)) and 5 < len(kept) < 20
    store.recent.clear()
    assert get(store, *range(30)) == list(range(30))


@pytest.mark.parametrize("how", [Drop, lambda: Status(503, "SlowDown"), lambda: Status(500, "InternalError")])
def test_a_store_that_is_away_for_a_moment_is_waited_for(store, endpoint, how):
    put(store, 1)
    back = time.monotonic() + 0.5

    def away(method, path):
        if time.monotonic() < back:
            raise how()

    endpoint.before = away
    put(store, 2)
    store.sync()
    for n in (1, 2):
        store.forget(next(iter(store.find([key(n)]).values())).block)
    back = time.monotonic() + 0.5
    assert get(store, 2, 1) == [2, 1]
    with store.leases.claim([key(3)]) as claim:
        assert claim.mine == {key(3)}


def test_a_store_that_stays_away_is_said_and_what_is_published_is_kept(store, endpoint, monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE", 0.5)
    name = put(store, 1)
    store.forget(name)

    def away(method, path):
        raise Drop

    endpoint.before = away
    for work in (lambda: put(store, 2), lambda: get(store, 1), store.sync, lambda: store.leases.held()):
        with pytest.raises(Unreachable, match=r"the store s3://bucket/\w+ didn't answer for") as caught:
            work()
        assert "what was published is kept" in caught.value.hint
    assert known(store, 1) == {1}  # nothing is taken for lost
    endpoint.before = lambda method, path: None
    assert get(store, 1) == [1] and known(store, 2) == set()


def test_a_store_that_was_silent_for_all_patience_is_tried_once_until_it_is_back(store, endpoint, monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE", 0.5)

    def away(method, path):
        raise Drop

    def tries(work):
        before = len(endpoint.seen)
        with pytest.raises(Unreachable, match="didn't answer for"):
            work()
        return len(endpoint.seen) - before

    endpoint.before = away
    assert tries(lambda: put(store, 1)) > 1
    assert tries(store.sync) == 1
    assert tries(lambda: put(store, 2)) == 1
    endpoint.before = lambda method, path: None
    put(store, 1)
    endpoint.before = away
    assert tries(store.sync) > 1


def test_what_nobody_waits_for_any_more_is_not_tried_for_long(store, endpoint, monkeypatch):
    monkeypatch.setattr(patience, "SHORT", 0.0)
    unwanted = []

    def away(method, path):
        if len(endpoint.seen) - asked > 2:
            unwanted.append(True)
        raise Drop

    asked = len(endpoint.seen)
    endpoint.before = away
    with patience.briefly(lambda: bool(unwanted)), pytest.raises(Unreachable):
        store.sync()
    assert len(endpoint.seen) - asked == 3
    with patience.briefly(), pytest.raises(Unreachable):
        put(store, 1)
    assert len(endpoint.seen) - asked == 4


def test_a_claim_that_could_not_be_ended_is_no_claim(store, endpoint, monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE", 0.3)

    def away(method, path):
        raise Drop

    def compute():
        with store.leases.claim([key(1)]):
            endpoint.before = away
            put(store, 1)

    with pytest.raises(Unreachable):
        compute()
    endpoint.before = lambda method, path: None
    with store.leases.claim([key(1)]) as claim:
        assert claim.mine == {key(1)}
    assert not [k for k in endpoint.objects if k.endswith(".claim") and store.path.removeprefix("s3://") in k]


def test_a_server_that_asks_for_another_try_is_asked_again(store, endpoint):
    """Amazon answers so while another request for the same object isn't over: nothing says that it will be there."""
    left = [2, 2]

    def busy(method, path):
        at = "/blocks/" in path
        if method == "PUT" and left[at]:
            left[at] -= 1
            raise Status(409, "ConditionalRequestConflict")

    endpoint.before = busy
    with store.leases.claim([key(1)]) as claim:
        assert claim.mine == {key(1)}
        name = put(store, 1)
    assert left == [0, 0] and at(store.path, name) in endpoint.objects
    store.forget(name)
    assert get(store, 1) == [1]


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (409, "ConditionalRequestConflict", "didn't answer for 0 s: ConditionalRequestConflict it is"),
        (412, "PreconditionFailed", "refuses: PreconditionFailed it is"),
    ],
)
def test_what_is_said_to_be_there_and_is_not_is_an_error(store, endpoint, monkeypatch, status, code, said):
    monkeypatch.setattr(patience, "PATIENCE", 0.3)

    def lie(method, path):
        if method == "PUT" and "/blocks/" in path:
            raise Status(status, code)

    endpoint.before = lie
    with pytest.raises(Unwritable, match=said):
        put(store, 1)
    assert known(store, 1) == set()
    endpoint.before = lambda method, path: None
    put(store, 1)
    assert get(store, 1) == [1]


def test_another_object_in_a_block_s_place_is_no_success(store, endpoint):
    name = put(store, 1)
    store.index.drop([name])
    endpoint.objects[at(store.path, name)].data = b"half"
    with pytest.raises(Unwritable, match=f"has another object at blocks/.*{name}.zip: of 4 bytes, not") as caught:
        put(store, 1)
    assert "flowgen cache verify" in caught.value.hint
    assert store.verify() == [name]
    put(store, 1)
    assert get(store, 1) == [1]


REFUSALS = {
    "wrong credentials": (lambda: Status(403, "InvalidAccessKeyId"), "refuses these credentials: .*InvalidAccessKeyId"),
    "no such bucket": (lambda: Status(404, "NoSuchBucket"), "refuses: NoSuchBucket it is"),
    "another region": (lambda: Status(400, "AuthorizationHeaderMalformed"), "refuses: .*Malformed it is"),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refusal_is_said_at_once_with_a_way_out(url, endpoint, kind):
    make, said = REFUSALS[kind]
    asked = []

    def refuse(method, path):
        asked.append((method, path))
        raise make()

    endpoint.before = refuse
    with pytest.raises(Unwritable, match=said) as caught:
        Store(url)
    assert asked == [("GET", "bucket")]  # a listing, once
    assert "AWS_ACCESS_KEY_ID" in caught.value.hint and "AWS_ENDPOINT_URL" in caught.value.hint


def test_what_can_not_be_a_store_is_said(url, endpoint, monkeypatch):
    for wrong in ("ftp://host/x", "s3://", "https://host/x"):
        found = CliRunner().invoke(command, ["cache", "size", "--store", wrong])
        assert "takes a path or a URL (s3://bucket/prefix, gs://bucket/prefix, az://" in str(found.exception)
    with pytest.raises(UserError, match=r"can't use the store az://c/x: .*Account") as caught:
        Store("az://c/x")
    assert "AZURE_STORAGE_ACCOUNT_NAME" in caught.value.hint
    with monkeypatch.context() as patch:
        patch.delenv("AWS_ACCESS_KEY_ID")
        patch.delenv("AWS_SECRET_ACCESS_KEY")
        patch.setenv("AWS_METADATA_ENDPOINT", endpoint.url)  # which has none either
        with pytest.raises(UserError, match=r"there are no credentials for the store s3://") as caught:
            Store(url)
        assert "AWS_ACCESS_KEY_ID" in caught.value.hint
    with monkeypatch.context() as patch:
        patch.delenv("AWS_ALLOW_HTTP")
        with pytest.raises(UserError, match="its endpoint is no https:// address") as caught:
            Store(url)
        assert "AWS_ALLOW_HTTP=true" in caught.value.hint
    monkeypatch.setitem(sys.modules, "flowgen.store.objects", None)
    with pytest.raises(UserError, match="needs the package obstore") as caught:
        Store(url)
    assert caught.value.hint == "pip install 'flowgen[cloud]'"


def test_the_commands_take_a_url(store, url, tmp_path):
    bad = put(store, 1)
    put(store, 2, 3)

    def cache(*arguments):
        return CliRunner().invoke(command, ["cache", *map(str, arguments)])

    assert cache("size", "--store", url).output.startswith("2 blocks with 3 items: ")
    assert "test" in cache("list", "--store", url).output
    assert "exported to" not in cache("export", "--to", tmp_path, "--store", url).output  # without a run
    taken = cache("import", url, "--store", tmp_path / "local").output
    assert "imported from s3://" in taken and "2 blocks with 3 items" in taken
    assert get(Store(tmp_path / "local"), 3, 1) == [3, 1]
    assert "2 blocks were there already" in cache("import", tmp_path / "local", "--store", url).output
    assert "removed 3 items" in cache("collect", "--keep", "0B", "--yes", "--store", url).output
    back = cache("import", tmp_path / "local", "--store", url).output
    assert "2 blocks with 3 items" in back, back
    assert get(Store(url), 2) == [2] and bad in Store(url).on_disk()
