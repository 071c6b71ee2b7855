"""Failure: why a target failed, and which layer an operating system's error speaks of."""

import asyncio
import errno
import os
import ssl
from typing import Final

from collectors.result import Reason, Status

_OUR_OWN: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_LOST: Final = (ConnectionError, EOFError)
_NO_ANSWER: Final = {
    "dns": (Reason.RESOLVER_FAILED, "name resolution did not end"),
    "connect": (Reason.UNREACHABLE, "no reply to connect"),
    "tls": (Reason.TIMEOUT, "TLS handshake did not end"),
    "first_byte": (Reason.TIMEOUT, "no answer"),
    "transfer": (Reason.TIMEOUT, "answer did not end"),
}

# Numbers of OpenSSL's x509_vfy.h; the message beside them is for people and changes.
_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_OTHER_NAME: Final = frozenset({62, 63, 64})


class Failure(Exception):
    """The target failed: the layer, one technical line, and what that says of the target.

    ``status`` is UNKNOWN when the fault is on this side, so that it is not held against the target.
    """

    def __init__(self, reason: Reason, detail: str, status: Status = Status.DOWN) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.status = status


def from_error(error: BaseException, phase: str, timeout: float) -> Failure:
    """Return which layer failed, from the error and the phase in which it came (dns, connect, tls, first_byte, transfer)."""
    if isinstance(error, ssl.SSLError):
        return from_tls_error(error)
    # ETIMEDOUT of the kernel is a TimeoutError too, and means the same: nobody replied.
    if isinstance(error, TimeoutError):
        reason, what = _NO_ANSWER[phase]
        return Failure(reason, f"{what} within {timeout:g} s" if error.errno is None else f"{what}: {words(error)}")
    if isinstance(error, OSError) and error.errno in _OUR_OWN:
        return Failure(Reason.BUG, f"this side cannot probe: {words(error)}", Status.UNKNOWN)
    if isinstance(error, ConnectionRefusedError):
        return Failure(Reason.REFUSED, words(error))
    if isinstance(error, (*_LOST, asyncio.IncompleteReadError)):
        return Failure(Reason.CONNECTION_LOST, f"in phase {phase}: {words(error)}")
    return Failure(Reason.UNREACHABLE, words(error))


def from_tls_error(error: ssl.SSLError) -> Failure:
    """Distinguish a certificate that expired, names another host or is not trusted from a handshake that failed otherwise."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return Failure(Reason.TLS_FAILED, f"TLS handshake failed: {getattr(error, 'reason', None) or words(error)}")
    detail = f"certificate: {error.verify_message}"
    if error.verify_code == _EXPIRED:
        return Failure(Reason.TLS_EXPIRED, detail)
    if error.verify_code == _NOT_YET_VALID:
        return Failure(Reason.TLS_FAILED, detail)
    return Failure(Reason.TLS_NAME if error.verify_code in _OTHER_NAME else Reason.TLS_UNTRUSTED, detail)


def words(error: BaseException) -> str:
    """Return an error's own words in lower case, without the address that asyncio puts in front."""
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
