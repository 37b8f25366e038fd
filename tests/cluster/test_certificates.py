"""The certificates of a control plane stand the strictest verification that Python has.

A TLS handshake in memory is the judge here: no socket, no program.
"""

import ssl
from pathlib import Path

import pytest

from tests.cluster.certificates import Authority, Pair


def context(purpose: ssl.Purpose, authority: Authority, pair: Pair, folder: Path) -> ssl.SSLContext:
    """Return a context that shows `pair` and demands a certificate of `authority`, by the strict rules."""
    made = ssl.create_default_context(purpose, cadata=authority.certificate.decode())
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.verify_mode = ssl.CERT_REQUIRED
    file = folder / f"{purpose.name}.pem"
    file.write_bytes(pair.certificate + pair.key)
    made.load_cert_chain(file)
    return made


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> ssl.SSLObject:
    """Let the two shake hands in memory and return the server's end."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    unfinished = list(ends)
    while unfinished:
        for end in tuple(unfinished):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            unfinished.remove(end)
    return ends[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_client_and_server_verify_each_other_by_the_strict_rules(tmp_path: Path, host: str) -> None:
    """Both ends accept each other under VERIFY_X509_STRICT, and the server sees user and groups."""
    authority = Authority()
    client = authority.client("me", ("system:masters",))
    server = authority.server("kube-apiserver", ["127.0.0.1", "localhost"])

    seen = handshake(
        context(ssl.Purpose.SERVER_AUTH, authority, client, tmp_path),
        context(ssl.Purpose.CLIENT_AUTH, authority, server, tmp_path),
        host,
    ).getpeercert()

    assert seen is not None
    assert seen["subject"] == ((("organizationName", "system:masters"),), (("commonName", "me"),))


def test_a_server_of_another_authority_is_refused(tmp_path: Path) -> None:
    """Two control planes do not trust each other, though their authorities have the same name."""
    ours, other = Authority(), Authority()

    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(
            context(ssl.Purpose.SERVER_AUTH, ours, ours.client("me"), tmp_path),
            context(ssl.Purpose.CLIENT_AUTH, other, other.server("kube-apiserver", ["localhost"]), tmp_path),
            "localhost",
        )


def test_a_client_certificate_cannot_play_the_server(tmp_path: Path) -> None:
    """The extended key usage keeps users from answering as the API server."""
    authority = Authority()

    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(
            context(ssl.Purpose.SERVER_AUTH, authority, authority.client("me"), tmp_path),
            context(ssl.Purpose.CLIENT_AUTH, authority, authority.client("localhost"), tmp_path),
            "localhost",
        )
