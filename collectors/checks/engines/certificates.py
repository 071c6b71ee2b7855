"""The one door to cryptography: what the certificates of a finished handshake say."""

import math
import ssl
from typing import Any, Final

import msgspec
from cryptography import x509

_DAY: Final = 86400


class Certificate(msgspec.Struct, frozen=True):
    """One certificate: names in RFC 4514 form, ``not_after`` in seconds since epoch, UTC."""

    subject: str
    issuer: str
    not_after: float

    @property
    def self_issued(self) -> bool:
        """Return whether it names itself as its issuer: a root, or self-signed."""
        return self.subject == self.issuer

    def days_left(self, at: int) -> int:
        """Whole days from ``at`` (ms since epoch) until it expires; negative once it has."""
        return math.floor((self.not_after - at / 1000) / _DAY)


class Chains(msgspec.Struct, frozen=True):
    """Certificates of one connection, the server's own first.

    ``sent``: as the server sent them. ``verified``: the way to a trusted authority, its own certificate included;
    empty when nothing was verified.
    """

    sent: tuple[Certificate, ...]
    verified: tuple[Certificate, ...]

    @property
    def deciding(self) -> tuple[Certificate, ...]:
        """The certificates whose dates users meet: the verified way, else what was sent without roots, else the server's own."""
        below_roots = tuple(certificate for certificate in self.sent if not certificate.self_issued)
        return self.verified or below_roots or self.sent[:1]


def chains(connection: ssl.SSLObject) -> Chains:
    """Read both chains of a connection after its handshake."""
    verified = connection.context.verify_mode != ssl.CERT_NONE
    return Chains(
        sent=tuple(_read(der) for der in _ders(connection, "get_unverified_chain")),
        verified=tuple(_read(der) for der in _ders(connection, "get_verified_chain")) if verified else (),
    )


def earliest(certificates: tuple[Certificate, ...]) -> Certificate:
    """Return the one that expires first."""
    return min(certificates, key=lambda certificate: certificate.not_after)


def _ders(connection: ssl.SSLObject, method: str) -> list[bytes]:
    if hasattr(connection, method):
        return list(getattr(connection, method)())
    # Public since Python 3.13; before that the same methods are there, one object further in.
    inner: Any = connection._sslobj  # type: ignore[attr-defined]  # noqa: SLF001 - see above
    return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in getattr(inner, method)() or ()]


def _read(der: bytes) -> Certificate:
    parsed = x509.load_der_x509_certificate(der)
    return Certificate(
        subject=parsed.subject.rfc4514_string(),
        issuer=parsed.issuer.rfc4514_string(),
        not_after=parsed.not_valid_after_utc.timestamp(),
    )
