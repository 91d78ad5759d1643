"""A small S3: the part of its protocol that a store uses, over HTTP, in a thread; it can fail when it is told to.

Objects and ranges of them, listings in pages, copies, uploads in parts, and If-None-Match: RESTful API of "Amazon S3
API Reference", 2006-03-01. ``FLOWGEN_TEST_S3=http://host:port`` lets the tests use another server instead.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
import urllib.parse
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.etree import ElementTree
from xml.sax.saxutils import escape

ANOTHER = os.environ.get("FLOWGEN_TEST_S3")
PAGE = 100
"""keys of a page, at most; Amazon has 1000"""


class Object:
    def __init__(self, data: bytes) -> None:
        self.data, self.time = data, int(time.time())  # Amazon's times are whole seconds
        self.tag = f'"{hashlib.md5(data).hexdigest()}"'


class S3:
    """The objects of all buckets by ``bucket/key``, and how to fail."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.objects: dict[str, Object] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.lock = threading.Lock()
        self.seen: list[tuple[str, str]] = []
        """methods and paths of the requests so far"""
        self.before = lambda method, path: None
        """called for each request; may raise Drop"""
        self.server = Server((host, 0), handler(self))
        self.url = f"http://{host}:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # a client sends many at once, and one that finds no place tries again a second later


class Drop(Exception):
    """The connection is closed without an answer."""


class Status(Exception):
    """The answer is this error."""

    def __init__(self, status: int, code: str) -> None:
        self.status, self.code = status, code


def handler(s3: S3) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer waits for the client's word on its head

        def answer(self) -> None:
            try:
                url = urllib.parse.urlsplit(self.path)
                key = urllib.parse.unquote(url.path).lstrip("/")
                query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                with s3.lock:
                    s3.seen.append((self.command, key))
                s3.before(self.command, key)
                status, headers, data = self.respond(key, query, body)
            except Drop:
                self.close_connection = True
                self.connection.close()
                return
            except Status as error:
                status, headers = error.status, {}
                data = f"<Error><Code>{error.code}</Code><Message>{error.code} it is</Message></Error>".encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "content-length" not in headers:
                self.send_header("content-length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

        def respond(self, key, query, body):
            if "list-type" in query:
                return 200, {"content-type": "application/xml"}, listing(s3, key.rstrip("/"), query)
            with s3.lock:
                if self.command in ("GET", "HEAD"):
                    if key not in s3.objects:
                        raise Status(404, "NoSuchKey")
                    found = s3.objects[key]
                    about = {"etag": found.tag, "last-modified": formatdate(found.time, usegmt=True)}
                    if asked := self.headers.get("range"):
                        return self.part(asked, about, found.data)
                    return 200, about | {"content-length": str(len(found.data))}, found.data
                if self.command == "DELETE":
                    s3.objects.pop(key, None)
                    return 204, {}, b""
                if "delete" in query:
                    return 200, {}, delete_many(s3, key, body)
                if "uploads" in query or "uploadId" in query:
                    return self.upload(key, query, body)
                if self.headers.get("if-none-match") == "*" and key in s3.objects:
                    raise Status(412, "PreconditionFailed")
                if source := self.headers.get("x-amz-copy-source"):
                    source = urllib.parse.unquote(source).lstrip("/")
                    if source not in s3.objects:
                        raise Status(404, "NoSuchKey")
                    made = s3.objects[key] = Object(s3.objects[source].data)
                    return 200, {}, f"<CopyObjectResult><ETag>{escape(made.tag)}</ETag></CopyObjectResult>".encode()
                made = s3.objects[key] = Object(body)
                return 200, {"etag": made.tag}, b""

        def part(self, asked, about, data):
            first, last = asked.removeprefix("bytes=").split("-")
            start = int(first) if first else max(0, len(data) - int(last))
            if start >= len(data):
                raise Status(416, "InvalidRange")
            stop = int(last) + 1 if first and last else len(data)
            where = {"content-range": f"bytes {start}-{min(stop, len(data)) - 1}/{len(data)}"}
            return 206, about | where, data[start:stop]

        def upload(self, key, query, body):
            if "uploads" in query:
                number = f"u{len(s3.parts)}"
                s3.parts[number] = {}
                told = f"<UploadId>{number}</UploadId>"
                return 200, {}, f"<InitiateMultipartUploadResult>{told}</InitiateMultipartUploadResult>".encode()
            if self.command == "PUT":
                s3.parts[query["uploadId"]][int(query["partNumber"])] = body
                return 200, {"etag": Object(body).tag}, b""
            parts = s3.parts.pop(query["uploadId"])
            made = s3.objects[key] = Object(b"".join(parts[n] for n in sorted(parts)))
            told = f"<ETag>{escape(made.tag)}</ETag>"
            return 200, {}, f"<CompleteMultipartUploadResult>{told}</CompleteMultipartUploadResult>".encode()

        def log_message(self, *arguments) -> None:
            """Say nothing."""

    return Handler


def listing(s3: S3, bucket: str, query: dict[str, str]) -> bytes:
    """A page of ListObjectsV2."""
    prefix, after = query.get("prefix", ""), query.get("continuation-token") or query.get("start-after", "")
    with s3.lock:
        keys = sorted(k.removeprefix(f"{bucket}/") for k in s3.objects if k.startswith(f"{bucket}/{prefix}"))
        keys = [key for key in keys if key > after]
        page = keys[: min(PAGE, int(query.get("max-keys", PAGE)))]
        told = []
        for key in page:
            about = s3.objects[f"{bucket}/{key}"]
            when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(about.time))
            said = f"<Key>{escape(key)}</Key><LastModified>{when}</LastModified><ETag>{escape(about.tag)}</ETag>"
            told.append(f"<Contents>{said}<Size>{len(about.data)}</Size></Contents>")
    more = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if len(page) < len(keys) else ""
    truncated = "true" if more else "false"
    return f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{more}{''.join(told)}</ListBucketResult>".encode()


def delete_many(s3: S3, bucket: str, body: bytes) -> bytes:
    """DeleteObjects."""
    keys = [found.text or "" for found in ElementTree.fromstring(body).iter() if found.tag.endswith("Key")]
    for key in keys:
        s3.objects.pop(f"{bucket.rstrip('/')}/{key}", None)
    deleted = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
    return f"<DeleteResult>{deleted}</DeleteResult>".encode()


def environment(url: str) -> dict[str, str]:
    """What a client needs to know."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
