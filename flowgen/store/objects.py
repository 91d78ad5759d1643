"""A store in object storage: S3 and what speaks its protocol, Google Cloud Storage, Azure."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

import obstore
import torch
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import from_url
from torch import Tensor

from flowgen.errors import UserError
from flowgen.store.medium import BLOCKS, DAMAGED, Entry, Got, Shard, block_at, place_of
from flowgen.store.patience import Unwritable, patiently
from flowgen.store.zarr_format import Buffer

T = TypeVar("T")
S = TypeVar("S")

WHOLE = 64 << 20
"""bytes of an object up to which it is sent in one request"""
TOGETHER = 16
"""requests at one time"""
TIMEOUT = timedelta(seconds=120)
"""for one request, with all that it carries"""
PASSING = (408, 409, 429)
"""what a server answers that asks for another try: too late, another request for the same object, too many"""
METADATA = re.compile(r"/latest/(api/token|meta-data)|169\.254\.169\.254|metadata\.google\.internal|metadata/identity")
"""where a cloud tells its machines their credentials: asked last, when there are none in the environment"""
CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), AWS_REGION, AWS_ENDPOINT_URL for other "
    "providers than Amazon; 'aws configure export-credentials --format env' prints those of a profile",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or 'gcloud auth application-default login'",
    "az": "AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
}
"""where credentials are read from"""


@lru_cache(maxsize=1)
def callers(process: int) -> ThreadPoolExecutor:
    """Threads of a process: an answer takes tens of milliseconds, so requests are sent side by side."""
    return ThreadPoolExecutor(TOGETHER, thread_name_prefix=f"objects-{process}")


class Objects:
    """The medium of a store at a URL: ``s3://bucket/prefix``, ``gs://``, ``az://``. Raises UserError."""

    def __init__(self, url: str) -> None:
        self.place = url.rstrip("/")
        self.home = home_of(self.place)
        self.counts_back = not self.place.startswith("az")
        """it can be asked for the last bytes of an object of unknown size, which Azure can't"""
        try:
            plain = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("true", "1")
            options: Any = {"timeout": TIMEOUT, "allow_http": plain}
            self.bucket: Any = from_url(self.place, client_options=options, retry_config={"max_retries": 0})
        except (BaseError, ValueError) as error:
            raise UserError(f"can't use the store {url}: {first_line(error)}", hint=self.hint) from None

    @property
    def hint(self) -> str:
        """Where credentials come from."""
        return f"credentials come from the environment: {CREDENTIALS.get(self.place.partition(':')[0], '')}"

    def prepare(self) -> None:
        """Make the folder of this machine, and see whether the storage answers. Raises OSError or UserError."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.call(lambda: next(iter(obstore.list(self.bucket, "leases", chunk_size=1)), None))

    def call(self, work: Callable[[], T]) -> T:
        """What a request answers, sent again while there is no answer. Raises Unreachable, Unwritable, OSError."""

        def attempt() -> T:
            try:
                return work()
            except BaseError as error:
                raise self.explained(error) from None

        return patiently(attempt, self.place)

    def explained(self, error: BaseError) -> Exception:
        """An error as one of the system, which may pass, or one of the user."""
        said = str(error)
        told = re.search(r"status code: (\d+)", said)
        status = int(told[1]) if told else 0
        if METADATA.search(said):
            return Unwritable(f"there are no credentials for the store {self.place}", hint=self.hint)
        if isinstance(error, PermissionDeniedError | UnauthenticatedError) or status in (401, 403):
            return Unwritable(f"the store {self.place} refuses these credentials: {first_line(error)}", hint=self.hint)
        if "builder error" in said:
            return UserError(
                f"the store {self.place}: its endpoint is no https:// address",
                hint="AWS_ENDPOINT_URL gives it; AWS_ALLOW_HTTP=true allows http://",
            )
        if 400 <= status < 500 and status not in PASSING:
            return Unwritable(f"the store {self.place} refuses: {first_line(error)}", hint=self.hint)
        return OSError(errno.ETIMEDOUT, first_line(error))

    def each(self, work: Callable[[S], T], over: Iterable[S]) -> list[T]:
        """Requests side by side."""
        jobs = list(over)
        if len(jobs) < 2:
            return [self.call(partial(work, job)) for job in jobs]
        return list(callers(os.getpid()).map(lambda job: self.call(partial(work, job)), jobs))

    def put(self, name: str, data: bytes, lasting: bool = False, whole: bool = True) -> None:
        """Put an object."""
        self.call(partial(obstore.put, self.bucket, name, data))

    def create(self, name: str, data: bytes) -> None:
        """Put an object on condition that it isn't there. Raises BaseError where it isn't afterwards, Unwritable."""
        try:
            obstore.put(self.bucket, name, data, mode="create", use_multipart=False)
        except AlreadyExistsError as error:  # what a server answers also where another request for it isn't over
            try:
                there = obstore.head(self.bucket, name)["size"]
            except FileNotFoundError:
                raise error from None
            if there != len(data):
                said = f"the store {self.place} has another object at {name}: of {there} bytes, not {len(data)}"
                raise Unwritable(said, hint="'flowgen cache verify' sets damaged blocks aside") from None

    @contextmanager
    def writing(self, lasting: bool) -> Iterator[Upload]:
        """An object that is sent when it settles."""
        yield Upload(self)

    def get(self, names: Iterable[str], last: int = 0) -> dict[str, Got]:
        """Objects by name, or their last bytes."""

        def one(name: str) -> tuple[str, Got] | None:
            try:
                found = self.found(name, last)
            except FileNotFoundError:
                return None
            return name, Got(bytes(found.bytes()), found.meta["size"], found.meta["last_modified"].timestamp())

        return dict(found for found in self.each(one, names) if found)

    def found(self, name: str, last: int) -> Any:
        """The answer to a request for an object, or its last bytes. Raises FileNotFoundError, BaseError."""
        if not last:
            return obstore.get(self.bucket, name)
        if self.counts_back:
            with suppress(BaseError):  # of an empty object nothing is the last
                return obstore.get(self.bucket, name, options={"range": {"suffix": last}})
        start = max(0, obstore.head(self.bucket, name)["size"] - last)
        return obstore.get(self.bucket, name, options={"range": {"offset": start}} if start else {})

    def read(self, name: str) -> Tensor:
        """An object. Raises OSError."""
        sent = self.call(lambda: obstore.get(self.bucket, name).bytes())
        data = torch.empty(len(sent), dtype=torch.uint8)
        data.numpy().data[:] = memoryview(sent)
        return data

    def stat(self, name: str) -> Entry:
        """An object. Raises FileNotFoundError."""
        return entry(self.call(partial(obstore.head, self.bucket, name)))

    def entries(self, folder: str, bare: bool = False) -> list[Entry]:
        """The objects below a prefix. A listing has all that is known of them."""

        def work() -> list[Entry]:
            return [entry(about) for some in obstore.list(self.bucket, folder, chunk_size=1000) for about in some]

        return self.call(work)

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects."""

        def one(name: str) -> None:
            with suppress(FileNotFoundError):
                obstore.delete(self.bucket, name)

        self.each(one, names)

    def set_aside(self, block: str) -> bool:
        """Copy a block to ``damaged`` and delete it; False if it was gone."""
        try:
            target = f"{DAMAGED}/{block}-{time.time_ns()}.zip"
            self.call(partial(obstore.copy, self.bucket, place_of(block), target))
        except FileNotFoundError:
            return False
        self.delete([place_of(block)])
        return True

    def shards(self, seen: Mapping[str, int]) -> Iterator[Shard]:
        """All blocks, as one shard."""
        there = (block_at(found.name) for found in self.entries(BLOCKS))
        yield Shard("", frozenset(block for block in there if block), 0)


class Upload:
    """An object on its way to object storage."""

    def __init__(self, medium: Objects) -> None:
        self.medium = medium
        self.pieces: dict[int, Sequence[Buffer]] = {}
        """by offset"""

    def write(self, at: int, data: Sequence[Buffer]) -> None:
        """Keep data until it is sent."""
        self.pieces[at] = data

    def settle(self, name: str) -> None:
        """Put the object on condition that it isn't there, or in parts if it is large."""
        whole = b"".join(piece for at in sorted(self.pieces) for piece in self.pieces[at])
        if len(whole) <= WHOLE:
            self.medium.call(partial(self.medium.create, name, whole))
        else:
            self.medium.put(name, whole)


def home_of(url: str) -> Path:
    """This machine's folder for a store: ``$XDG_CACHE_HOME/flowgen/stores/...``, by default in ``~/.cache``."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache / "flowgen" / "stores" / hashlib.sha256(url.encode()).hexdigest()[:16]


def entry(about: Any) -> Entry:
    """An object as a listing has it."""
    return Entry(about["path"], about["size"], about["last_modified"].timestamp(), about["e_tag"] or "")


def first_line(error: Exception) -> str:
    """What an error says, without the technical rest; a server's own words where it sent some."""
    said = re.split(r"\n\s*\n\s*Debug source", str(error))[0].strip()
    told = re.search(r"<Message>(.*?)</Message>", said, re.DOTALL)
    return told[1] if told else said.splitlines()[0] if said else type(error).__name__
