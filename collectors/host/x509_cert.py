"""``x509_cert``: how long the certificates in files of this host are still valid."""

import asyncio
import glob
import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import certificate, kernelfile, program
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots
    from collectors.host.sources.certificate import Certificate

_log = logging.getLogger("pantau.host.x509_cert")

# where web servers and certificate clients usually keep them, below /etc
_USUAL: Final = (
    "letsencrypt/live/*/fullchain.pem",
    "nginx/ssl/*.crt",
    "nginx/ssl/*.pem",
    "nginx/certs/*.crt",
    "nginx/certs/*.pem",
    "apache2/ssl/*.crt",
    "httpd/ssl/*.crt",
    "haproxy/certs/*.pem",
    "postfix/ssl/*.pem",
)
_LARGEST: Final = 1 << 20
_DAY: Final = 86_400 * 10**9
_SECONDS: Final = 15

Stamp = tuple[int, int]  # when a file was written, its size


class _Known(msgspec.Struct):
    """What was read of one file."""

    stamp: Stamp
    certificates: "list[Certificate]"
    wrong: str
    verified: str | None = None
    verified_at: int = -_DAY


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``sources``: files or shell patterns (PEM with any number of certificates, or DER); by default the usual places in /etc.

    ``verify``: also let openssl, where it is installed, verify the first certificate of a file with the others as its
    chain, against the authorities of this system or those in the file ``ca``.
    """

    sources: tuple[str, ...] = ()
    verify: bool = True
    ca: str = ""


class X509Cert:
    """Reads a file again when it changed; reads certificates by itself, as the agent goes without a library for them."""

    def __init__(self, options: Options, roots: "Roots", run: program.Run = program.run) -> None:
        self._options = options
        self._patterns = options.sources or tuple(f"{glob.escape(roots.etc)}/{pattern}" for pattern in _USUAL)
        self._run = run
        self._known: dict[str, _Known] = {}
        self._can_verify = options.verify

    async def collect(self, now: int) -> list[Point]:
        """Return one point a certificate; ``expiry`` is seconds from now. FileNotFoundError when no pattern fits any file.

        A file that was named and cannot be read is a point, too: ``verification_code`` 1 and why.
        """
        await asyncio.to_thread(self._read)
        points = []
        for path, known in self._known.items():
            if known.certificates and self._can_verify and now - known.verified_at >= _DAY:
                await self._verify(path, known, now)
            points += _points(path, known, now)
        return points

    def _read(self) -> None:
        paths: dict[str, None] = {}
        for pattern in self._patterns:
            found = sorted(glob.glob(pattern))  # noqa: PTH207 - patterns may be absolute
            paths.update(dict.fromkeys(found or ([] if glob.has_magic(pattern) else [pattern])))
        if not paths:
            raise kernelfile.lacking(self._patterns[0], "no certificate in this or any other place looked at")
        before, self._known = self._known, {}
        for path in paths:
            stamp = _stamp(path)
            known = before.get(path)
            if known is None or stamp != known.stamp:
                complaint = known.wrong if known else ""
                known = _load(path, stamp)
                if known.wrong and known.wrong != complaint:
                    _log.warning("certificate %s: %s", path, known.wrong)
            self._known[path] = known

    async def _verify(self, path: str, known: _Known, now: int) -> None:
        trusted = ("-CAfile", self._options.ca) if self._options.ca else ()
        try:
            ended = await self._run(("openssl", "verify", *trusted, "-untrusted", path, path), seconds=_SECONDS)
        except FileNotFoundError:
            self._can_verify = False
            _log.info("openssl is missing: certificates are not verified")
            return
        known.verified = _reason(ended) if ended.code else ""
        known.verified_at = now


def _reason(ended: program.Ended) -> str:
    """Return why openssl refused: what stands behind the depth in ``error 10 at 0 depth lookup: certificate has expired``."""
    found = re.search(r"^error \d+ at \d+ depth lookup: *(.+)$", f"{ended.err}\n{ended.out}", re.MULTILINE)
    return found[1] if found else ended.complaint()


def _stamp(path: str) -> Stamp:
    try:
        told = os.stat(path)  # noqa: PTH116 - a symbolic link's target counts
    except OSError:
        return 0, 0
    return told.st_mtime_ns, told.st_size


def _load(path: str, stamp: Stamp) -> _Known:
    if stamp[1] > _LARGEST:
        return _Known(stamp, [], f"larger than {_LARGEST} bytes")
    try:
        found = certificate.read(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        return _Known(stamp, [], (error.strerror or str(error)) if isinstance(error, OSError) else str(error))
    return _Known(stamp, found, "" if found else "holds no certificate")


def _points(path: str, known: _Known, now: int) -> list[Point]:
    source = f"file://{path}"
    if not known.certificates:
        fields: dict[str, Value] = {"verification_code": 1, "verification_error": known.wrong}
        return [Point("x509_cert", {"source": source, "verification": "invalid"}, fields, now)]
    points = []
    for place, one in enumerate(known.certificates):
        tags = {**_tags(one), "source": source}
        fields = {
            "expiry": one.ends - now // 10**9,
            "age": now // 10**9 - one.begins,
            "startdate": one.begins,
            "enddate": one.ends,
        }
        if one.key_bits:
            fields["public_key_length"] = one.key_bits
        if place == 0 and known.verified is not None:
            tags["verification"] = "invalid" if known.verified else "valid"
            fields["verification_code"] = int(bool(known.verified))
            if known.verified:
                fields["verification_error"] = known.verified
        points.append(Point("x509_cert", tags, fields, now))
    return points


def _tags(one: "Certificate") -> dict[str, str]:
    issuer = {f"issuer_{key}": one.issuer.get(key, "") for key in ("common_name", "serial_number")}
    subject = {key: text for key, text in one.subject.items() if key != "serial_number"}
    kind = "leaf" if not one.authority else "root" if one.self_issued else "intermediate"
    tags = {
        **subject,
        **issuer,
        "type": kind,
        "serial_number": one.serial,
        "signature_algorithm": one.signature,
        "public_key_algorithm": one.key,
        "san": ",".join(one.san),
    }
    return {key: text for key, text in tags.items() if text}
