"""Which certificates are believed: the contexts of TLS connections."""

import ssl
from functools import lru_cache
from pathlib import Path
from typing import Final

_SHARED: Final = 32


def context(ca_file: str, *, verify: bool, alpn: str = "") -> ssl.SSLContext:
    """Return a client's context: the system's authorities, or only those of ``ca_file`` (PEM); ``verify`` off believes anybody.

    Reads ``ca_file``, so call it when a check is built and not on an event loop. ValueError when that cannot be used.
    """
    changed = 0
    if ca_file:
        try:
            changed = Path(ca_file).stat().st_mtime_ns
        except OSError as error:
            raise ValueError(f"'ca_file': cannot read {ca_file}: {error.strerror}") from error
    try:
        return _context(ca_file, changed, verify, alpn)
    except (ssl.SSLError, OSError) as error:
        raise ValueError(f"'ca_file': no certificates (PEM) in {ca_file}: {error}") from error


# The system's authorities take 10 ms and half a megabyte a context, too much for each of a thousand checks;
# the file's time is part of the key, so that a changed file is read when its checks are built anew.
@lru_cache(maxsize=_SHARED)
def _context(ca_file: str, _changed: int, verify: bool, alpn: str) -> ssl.SSLContext:  # noqa: FBT001 - lru_cache tells keywords from positions
    made = ssl.create_default_context(cafile=ca_file or None)
    # which Python 3.13 sets: browsers take what an office's own authority signs without naming its key
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if alpn:
        made.set_alpn_protocols([alpn])
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made
