"""Finds the machine's own list of certificate authorities, wherever its distribution keeps it.

An interpreter of the distribution knows that place; the one that the packages bring is built once for all of them, and OpenSSL
as it is built asks a folder of Debian only.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

_BUNDLES: Final = (
    "etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine
    "etc/pki/tls/certs/ca-bundle.crt",  # Red Hat and its kin up to 9
    "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Red Hat and its kin since 7, and the only one later
    "etc/ssl/ca-bundle.pem",  # SUSE
)


def system_bundle(environ: Mapping[str, str], root: Path = Path("/")) -> str | None:
    """Return the file of authorities that this machine trusts.

    None leaves it to OpenSSL: where there is no such file, and where the environment names another (``SSL_CERT_FILE``, ``SSL_CERT_DIR``).
    """
    if environ.get("SSL_CERT_FILE") or environ.get("SSL_CERT_DIR"):
        return None
    return next((str(root / bundle) for bundle in _BUNDLES if (root / bundle).is_file()), None)
