"""A cluster that runs already, by its scheduler's address."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from typing import Any

from distributed import Client
from distributed.security import Security

from flowgen.errors import UserError
from flowgen.execute.clusters.certificates import security
from flowgen.execute.clusters.knock import START, Knock
from flowgen.execute.clusters.where import Where, address

PAUSE, LEAST = 0.2, 0.5
"""seconds between two attempts; seconds that one may take however short the wait"""


class Patient(Client):  # type: ignore[misc]
    """Dask's client, which gives up in time where a scheduler takes the connection and says nothing."""

    async def _ensure_connected(self, timeout: float | None = None) -> Any:
        return await asyncio.wait_for(super()._ensure_connected(timeout=timeout), timeout)


def running(where: Where) -> Client:
    """A client of the scheduler at an address, tried until the wait is over: it may be starting, or starting again.

    Raises UserError if it is refused, nobody answers in time, or somebody else does.
    """
    secure = secured(where)
    context = secure.get_connection_args("client")["ssl_context"] if secure else None
    end = time.monotonic() + where.wait
    while True:
        left = max(LEAST, end - time.monotonic())
        try:
            Knock(where.cluster, context, left).answered()
            return Patient(where.cluster, security=secure, timeout=left)
        except ImportError as error:  # Dask compares versions when hands are shaken
            raise UserError(f"{where.cluster} runs other software than this process", hint=str(error)) from None
        except OSError as error:
            if end - time.monotonic() < PAUSE + LEAST:
                what = f"no Dask scheduler answers at {where.cluster} within {where.wait:g} s: {words(error)}"
                raise UserError(what, hint=f"{START}; --wait TIME waits longer") from None
        time.sleep(PAUSE)


def words(error: OSError) -> str:
    """What failed, without Dask's names for it."""
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, socket.gaierror):
        return "no machine is known by that name"
    if isinstance(error, ConnectionError) or type(error).__module__.startswith("distributed"):
        return "it closes connections at once"
    if isinstance(error, TimeoutError):
        return "nobody takes a connection there"
    return error.strerror or str(error)


def secured(where: Where) -> Security | None:
    """What a connection is made with. Raises UserError if it isn't allowed, or certificates are missing."""
    allowed(where)
    return security(where.tls) if where.cluster.startswith("tls:") else None


def allowed(where: Where) -> None:
    """Raises UserError for what is no address, or leads over a network without TLS and wasn't asked for."""
    scheme, host = address(where.cluster)
    if scheme == "tcp" and not where.insecure and not is_loopback(host):
        raise UserError(
            f"{where.cluster} has no TLS: whoever reaches that network can read what passes and run code on the "
            "scheduler, the workers and here, as you",
            hint="use tls:// ('flowgen cluster certificates FOLDER' makes what it takes), or accept it with --insecure",
        )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine and nothing else: all of the addresses that its name has."""
    try:
        found = {str(address[4][0]) for address in socket.getaddrinfo(host, None)}
    except OSError:
        return False  # nobody answers there, as will be said
    return bool(found) and all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found)
