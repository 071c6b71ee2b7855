"""Errors of the operating system and of TLS, told by their layer."""

import errno
import ssl

import pytest

from collectors.checks.engines.failure import from_error


def _certificate(code):
    error = ssl.SSLCertVerificationError(1, "verify failed")
    error.verify_code, error.verify_message = code, "message of OpenSSL"
    return error


@pytest.mark.parametrize(
    ("error", "phase", "reason", "status"),
    [
        (TimeoutError(), "dns", "resolver_failed", "down"),
        (TimeoutError(), "connect", "unreachable", "down"),
        (TimeoutError(errno.ETIMEDOUT, "Connection timed out"), "connect", "unreachable", "down"),
        (TimeoutError(), "tls", "timeout", "down"),
        (TimeoutError(), "first_byte", "timeout", "down"),
        (TimeoutError(), "transfer", "timeout", "down"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "connect", "refused", "down"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "transfer", "connection_lost", "down"),
        (BrokenPipeError(errno.EPIPE, "x"), "first_byte", "connection_lost", "down"),
        (EOFError("EOF"), "first_byte", "connection_lost", "down"),
        (OSError(errno.ENETUNREACH, "x"), "connect", "unreachable", "down"),
        (OSError(errno.EHOSTUNREACH, "x"), "connect", "unreachable", "down"),
        (OSError(errno.EMFILE, "x"), "connect", "bug", "unknown"),
        (ssl.SSLError(1, "wrong version number"), "tls", "tls_failed", "down"),
        (_certificate(10), "tls", "tls_expired", "down"),
        (_certificate(62), "tls", "tls_name", "down"),
        (_certificate(64), "tls", "tls_name", "down"),
        (_certificate(18), "tls", "tls_untrusted", "down"),
        (_certificate(20), "tls", "tls_untrusted", "down"),
        (_certificate(9), "tls", "tls_failed", "down"),
    ],
)
def test_each_error_has_its_layer(error, phase, reason, status):
    failure = from_error(error, phase, 3.0)
    assert (failure.reason, failure.status) == (reason, status)
    assert failure.detail


def test_too_many_open_files_is_this_sides_fault_and_says_so():
    assert (
        "this side cannot probe: too many open files" in from_error(OSError(errno.EMFILE, "x"), "connect", 3.0).detail
    )
