"""The certificates of one control plane: an authority that lives for a run, and what it signs.

Python 3.13 verifies by the strict rules of RFC 5280 (`VERIFY_X509_STRICT`), so each certificate carries key
identifiers and a key usage. Elliptic curve keys, because a dozen of them take 20 ms where RSA takes seconds.
"""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALIDITY = dt.timedelta(days=30)
"""A control plane of `make cluster-up` may stand for weeks; nothing signed here is of use to anybody after that."""
CLOCK_SLACK = dt.timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """Signs certificates; made anew for each control plane, so that no two trust each other."""

    def __init__(self) -> None:
        """Make the key and the self-signed certificate."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("perdure-test-cluster", ())
        builder = _builder(self._name, self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(is_authority=True), critical=True)
        self._certificate = builder.add_extension(self._issuer_identifier(), critical=False).sign(
            self._key, hashes.SHA256()
        )

    @property
    def certificate(self) -> bytes:
        """The certificate that clients and servers trust, PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def client(self, user: str, groups: Sequence[str] = ()) -> Pair:
        """Return a client certificate; Kubernetes reads the common name as the user, organizations as the groups."""
        return self._sign(_name(user, groups), ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def server(self, name: str, hosts: Sequence[str]) -> Pair:
        """Return a server certificate for the host names and addresses given."""
        return self._sign(_name(name, ()), ExtendedKeyUsageOID.SERVER_AUTH, [_alternative(host) for host in hosts])

    def _sign(self, name: x509.Name, usage: x509.ObjectIdentifier, hosts: list[x509.GeneralName] | None) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, self._name, key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(is_authority=False), critical=True)
        builder = builder.add_extension(self._issuer_identifier(), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if hosts is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Pair(certificate.public_bytes(serialization.Encoding.PEM), private_pem(key))

    def _issuer_identifier(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())


def service_account_keys() -> tuple[bytes, bytes]:
    """Return a private and its public key, PEM: what service account tokens are signed and verified with."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private_pem(key), public


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the key as unencrypted PKCS 8."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _name(common_name: str, organizations: Sequence[str]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization) for organization in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=public_key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - CLOCK_SLACK).not_valid_after(now + VALIDITY)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
