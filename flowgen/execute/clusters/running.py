"""A cluster that runs already, by its scheduler's address."""

from __future__ import annotations

import ipaddress
import re
import socket

from distributed import Client
from distributed.security import Security

from flowgen.errors import UserError
from flowgen.execute.clusters.certificates import security
from flowgen.execute.clusters.where import Where

ADDRESS = re.compile(r"(?P<scheme>tcp|tls)://(?P<host>\[[0-9A-Fa-f:.]+\]|[^:/\[\]\s]+):(?P<port>[0-9]{1,5})")


def running(where: Where) -> Client:
    """A client of the scheduler at an address. Raises UserError if it is refused or nobody answers."""
    try:
        return Client(where.cluster, security=secured(where), timeout=where.wait)
    except (OSError, ValueError, MemoryError) as error:  # another server's greeting may read as a length
        reason = str(error.__cause__ or error).strip().splitlines()
        raise UserError(
            f"no Dask scheduler answers at {where.cluster}: {reason[0] if reason else type(error).__name__}",
            hint="start one with 'dask scheduler'; docs/clusters.md has the commands",
        ) from None


def secured(where: Where) -> Security | None:
    """What a connection is made with. Raises UserError if it isn't allowed, or certificates are missing."""
    allowed(where)
    return security(where.tls) if where.cluster.startswith("tls:") else None


def allowed(where: Where) -> None:
    """Raises UserError for what is no address, or leads over a network without TLS and wasn't asked for."""
    found = ADDRESS.fullmatch(where.cluster)
    if found is None:
        raise UserError(
            f"'{where.cluster}' is no cluster", hint="tcp://HOST:PORT, tls://HOST:PORT, gpus, or a file as slurm.toml"
        )
    if found["scheme"] == "tcp" and not where.insecure and not is_loopback(found["host"].strip("[]")):
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
