"""Whether a Dask scheduler answers at an address, and if not, what else does.

Dask's client waits for ever where a connection is taken and nothing is said. A scheduler greets whoever connects
(``distributed.comm.core.Listener.on_connection``), over TLS once hands are shaken.
"""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import suppress

from flowgen.errors import UserError

CONNECTING, LISTENING, ASKING = 5.0, 5.0, 2.0
"""seconds at most for a connection, for a greeting, and for an answer to what isn't Dask's"""
GREETING = b"pickle-protocol"
"""stands in a scheduler's (``distributed.comm.core.Comm.handshake_info``)"""
BYTES, SHOWN = 512, 40
"""of a greeting that are read, and that a message shows"""
START = "start one with 'dask scheduler'; docs/clusters.md has the commands"
SAME_SET = (
    "the scheduler, the workers and flowgen take the same set: copy the folder that the scheduler was started with, "
    "or make a new set ('flowgen cluster certificates FOLDER') and start all of them with it"
)


class Knock:
    """An attempt to find a scheduler."""

    def __init__(self, address: str, context: ssl.SSLContext | None, patience: float) -> None:
        """context: what TLS is spoken with, None for none; patience: seconds."""
        self.address = address
        host, _, port = address.partition("://")[2].rpartition(":")
        self.at = (host.strip("[]"), int(port))
        self.context = context
        self.end = time.monotonic() + patience

    def answered(self) -> None:
        """Return if a scheduler answers. Raises OSError for what may change, UserError for what won't."""
        said = self.securely(self.context) if self.context else self.plainly()
        if GREETING not in said:
            raise self.another(said)

    def plainly(self) -> bytes:
        """What is said to who connects without TLS. Raises OSError, UserError."""
        try:
            return self.heard()
        except TimeoutError:
            pass
        if self.speaks_tls():
            hint = f"--cluster {self.address.replace('tcp', 'tls', 1)} --tls FOLDER, the one that it was started with"
            raise UserError(f"what answers at {self.address} speaks TLS", hint=hint)
        raise self.silent()

    def securely(self, context: ssl.SSLContext) -> bytes:
        """What is said to who connects over TLS. Raises OSError, UserError."""
        try:
            with self.connection() as plain, context.wrap_socket(plain) as secured:
                return received(secured)  # in TLS 1.3 it is now that the other side says what it thinks of us
        except ssl.SSLCertVerificationError as error:
            raise self.stranger(f"its certificate is refused here, {error.verify_message}") from None
        except ssl.SSLEOFError:
            raise ConnectionResetError from None
        except ssl.SSLError as error:
            if spoken(error):
                raise self.stranger("it refuses the certificate of the set that '--tls' names") from None
        except TimeoutError:
            raise self.silent() from None
        with suppress(TimeoutError):
            if GREETING in (said := self.heard()):
                hint = "start it with --protocol tls, as 'flowgen cluster certificates FOLDER' shows"
                raise UserError(f"the scheduler at {self.address} speaks without TLS", hint=hint)
            raise self.another(said)
        raise self.silent()

    def connection(self, most: float = LISTENING) -> socket.socket:
        """A connection that waits for no more than half of the time that is left: another may have to be tried."""
        half = max(0.05, (self.end - time.monotonic()) / 2)
        found = socket.create_connection(self.at, timeout=min(CONNECTING, half))
        found.settimeout(min(most, half))
        return found

    def heard(self) -> bytes:
        """What is said first. Raises TimeoutError where nothing is."""
        with self.connection() as plain:
            return received(plain)

    def speaks_tls(self) -> bool:
        """Whether a handshake is answered, whatever it leads to."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with self.connection(ASKING) as plain, context.wrap_socket(plain):
                return True
        except ssl.SSLError as error:
            return spoken(error)
        except OSError:
            return False

    def silent(self) -> OSError | UserError:
        """What it means that nothing is said: some servers wait to be asked."""
        with suppress(OSError), self.connection(ASKING) as plain:
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
            if (said := received(plain)).startswith(b"HTTP/"):
                return self.another(said)
        return OSError("it takes connections and says nothing")

    def another(self, said: bytes) -> UserError:
        """Another kind of server answers."""
        what = f"no Dask scheduler answers at {self.address}"
        if said.startswith(b"HTTP/") or b"<html" in said.lower():
            hint = "a scheduler's port is mostly 8786, its dashboard's 8787; 'dask scheduler' says both as it starts"
            return UserError(f"{what}, but a web server", hint=hint)
        text = "".join(chr(code) if 32 <= code < 127 else "." for code in said.strip()[:SHOWN])
        return UserError(f"{what}, but another server, which begins with '{text}'", hint=START)

    def stranger(self, why: str) -> UserError:
        """It knows other certificates."""
        return UserError(f"{self.address} doesn't belong to this set of certificates: {why}", hint=SAME_SET)


def spoken(error: ssl.SSLError) -> bool:
    """Whether the other side said in TLS that it doesn't go on; RFC 8446, section 6."""
    return "ALERT" in (error.reason or "")


def received(connection: socket.socket) -> bytes:
    """The first bytes that come. Raises TimeoutError if none do, ConnectionResetError if it is closed."""
    found = connection.recv(BYTES)
    if not found:
        raise ConnectionResetError
    return found
