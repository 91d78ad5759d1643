"""A set of certificates for a cluster: whoever holds it belongs to the cluster, nobody else does."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

from distributed.security import Security

from flowgen.errors import UserError

CA, CERTIFICATE, KEY = "ca.pem", "certificate.pem", "key.pem"
AUTHORITY = "flowgen cluster authority"
DAYS = 365
"""how long a set is valid"""
MAKE = "'flowgen cluster certificates FOLDER' makes a set"


def security(folder: Path | None) -> Security:
    """What Dask connects with over TLS; without a folder, what Dask's own configuration names. Raises UserError."""
    if folder is None:
        found = Security(require_encryption=True)
        if found.tls_ca_file and found.tls_client_cert:
            return found
        raise UserError("tls:// takes certificates: --tls FOLDER", hint=MAKE)
    ca, certificate, key = (str(existing(folder, name)) for name in (CA, CERTIFICATE, KEY))
    roles = {f"tls_{role}_{what}": path for role in ("scheduler", "worker", "client")
             for what, path in (("cert", certificate), ("key", key))}  # fmt: skip
    found = Security(require_encryption=True, tls_ca_file=ca, **roles)
    try:
        found.get_connection_args("client")  # reads them
    except OSError:  # ssl's own errors are among them
        raise UserError(f"the files in {folder} aren't a set of certificates and its key", hint=MAKE) from None
    return found


def existing(folder: Path, name: str) -> Path:
    """A file of a set, by its whole path. Raises UserError."""
    path = (folder / name).absolute()
    if not os.access(path, os.R_OK):
        raise UserError(f"{folder} has no {name} that can be read", hint=MAKE)
    return path


def make(folder: Path, days: int = DAYS) -> None:
    """Make a set in a folder: an authority, and the one certificate that it signs before its key is forgotten.

    The certificate serves scheduler, workers and clients. Dask asks on both sides for one that the authority signed,
    and doesn't compare host names, so that a set holds for any number of machines; none can be added to it later.

    Raises UserError for a folder that has a set, and where ``cryptography`` isn't installed.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    except ImportError:
        raise UserError(
            "certificates are made with the package 'cryptography'", hint="pip install 'flowgen[tls]'"
        ) from None
    if taken := [name for name in (CA, CERTIFICATE, KEY) if (folder / name).exists()]:
        raise UserError(f"{folder} has a {taken[0]} already", hint="name another folder, or remove the old set")
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = signed(AUTHORITY, authority.public_key(), authority, days, authority=True)
    own = signed("flowgen cluster", key.public_key(), authority, days, authority=False)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(folder / CA, root.public_bytes(Encoding.PEM), 0o644)
        write(folder / CERTIFICATE, own.public_bytes(Encoding.PEM), 0o644)
        write(folder / KEY, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    except OSError as error:
        raise UserError(f"can't write certificates in {folder}: {error.strerror}") from None


def signed(name: str, public: Any, signer: Any, days: int, *, authority: bool) -> Any:
    """A certificate of a public key, an authority's own or one that it vouches for; RFC 5280, section 4.2.1."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    now = datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(AUTHORITY))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # clocks of a cluster differ
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=authority, crl_sign=authority, **usage), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, SHA256())
    )


def write(path: Path, content: bytes, mode: int) -> None:
    """A new file that has its mode from the first."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
