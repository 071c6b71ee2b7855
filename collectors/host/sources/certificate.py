"""Read X.509 certificates (RFC 5280): only what people are told of them, and no judgement of their signatures."""

import binascii
import ipaddress
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
_ED25519_BITS: Final = 256
_SEQUENCE, _INTEGER, _OID, _UTC_TIME, _BMP_STRING = 0x30, 0x02, 0x06, 0x17, 0x1E
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_EMAIL, _DNS, _URI, _IP = 0x81, 0x82, 0x86, 0x87
_LONG_FORM: Final = 0x80
_CENTURY: Final = 50  # two-digit years from here on are of the last century
_NAMES: Final = {
    "2.5.4.3": "common_name",
    "2.5.4.6": "country",
    "2.5.4.7": "locality",
    "2.5.4.8": "province",
    "2.5.4.10": "organization",
    "2.5.4.11": "organizational_unit",
    "2.5.4.5": "serial_number",
}
_SIGNATURES: Final = {
    "1.2.840.113549.1.1.5": "SHA1-RSA",
    "1.2.840.113549.1.1.10": "RSA-PSS",
    "1.2.840.113549.1.1.11": "SHA256-RSA",
    "1.2.840.113549.1.1.12": "SHA384-RSA",
    "1.2.840.113549.1.1.13": "SHA512-RSA",
    "1.2.840.10045.4.1": "ECDSA-SHA1",
    "1.2.840.10045.4.3.2": "ECDSA-SHA256",
    "1.2.840.10045.4.3.3": "ECDSA-SHA384",
    "1.2.840.10045.4.3.4": "ECDSA-SHA512",
    "1.3.101.112": "Ed25519",
}
_KEYS: Final = {"1.2.840.113549.1.1.1": "RSA", "1.2.840.10045.2.1": "ECDSA", "1.3.101.112": "Ed25519"}
_CURVES: Final = {"1.2.840.10045.3.1.7": 256, "1.3.132.0.34": 384, "1.3.132.0.35": 521, "1.3.132.0.33": 224}
_ALT_NAMES: Final = "2.5.29.17"
_CONSTRAINTS: Final = "2.5.29.19"

Element = tuple[int, bytes]  # tag, contents


class Certificate(msgspec.Struct, frozen=True):
    """One certificate; ``begins`` and ``ends`` are seconds since the epoch, ``subject`` and ``issuer`` by Telegraf's tags.

    ``key_bits`` is the length of its key, 0 when not known.
    """

    serial: str
    signature: str
    key: str
    key_bits: int
    begins: int
    ends: int
    subject: dict[str, str]
    issuer: dict[str, str]
    san: tuple[str, ...]
    authority: bool
    self_issued: bool


def read(body: bytes) -> list[Certificate]:
    """Return the certificates of a PEM file (what else it holds is skipped) or of one DER. ValueError when one is broken."""
    if body[:1] == bytes([_SEQUENCE]):
        return [_certificate(body)]
    try:
        return [_certificate(binascii.a2b_base64(block)) for block in _PEM.findall(body)]
    except binascii.Error as error:
        raise ValueError(f"broken PEM: {error}") from None


def _certificate(der: bytes) -> Certificate:
    try:
        (_, outer), *_ = _elements(der)
        (_, tbs), *_ = _elements(outer)
        parts = list(_elements(tbs))
        if parts[0][0] == _VERSION:
            del parts[0]
        (_, serial), (_, algorithm), (_, issuer), (_, validity), (_, subject), (_, key), *rest = parts
        begins, ends = (_time(element) for element in _elements(validity))
        extensions = dict(_extensions(rest))
        return Certificate(
            serial=f"{int.from_bytes(serial, 'big', signed=True):x}",
            signature=_first_oid(algorithm, _SIGNATURES),
            key=_first_oid(next(_elements(key))[1], _KEYS),
            key_bits=_bits(key),
            begins=begins,
            ends=ends,
            subject=_name(subject),
            issuer=_name(issuer),
            san=tuple(_alt_names(extensions.get(_ALT_NAMES, b""))),
            authority=_is_authority(extensions.get(_CONSTRAINTS, b"")),
            self_issued=subject == issuer,
        )
    except (IndexError, StopIteration, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"broken certificate: {error or 'too short'}") from None


def _elements(data: bytes) -> Iterator[Element]:
    """Yield tag and contents of each element (DER)."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & _LONG_FORM:
            size = length & ~_LONG_FORM
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        if at + length > len(data):
            raise ValueError("cut off")
        yield tag, data[at : at + length]
        at += length


def _oid(data: bytes) -> str:
    numbers = [0]
    for byte in data:
        numbers[-1] = (numbers[-1] << 7) | (byte & 0x7F)
        if not byte & 0x80:
            numbers.append(0)
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:-1])))


def _first_oid(data: bytes, names: dict[str, str]) -> str:
    oid = _oid(next(_elements(data))[1])
    return names.get(oid, oid)


def _bits(key: bytes) -> int:
    """Return the length of a public key in bits: of RSA the modulus, of ECDSA the curve (RFC 3279, 5480, 8410)."""
    (_, algorithm), (_, bits), *_ = _elements(key)
    (_, oid), *parameters = _elements(algorithm)
    match _KEYS.get(_oid(oid)):
        case "RSA":
            (_, modulus), *_ = _elements(next(_elements(bits[1:]))[1])
            return int.from_bytes(modulus, "big").bit_length()
        case "ECDSA" if parameters and parameters[0][0] == _OID:
            return _CURVES.get(_oid(parameters[0][1]), 0)
        case "Ed25519":
            return _ED25519_BITS
    return 0


def _time(element: Element) -> int:
    tag, text = element[0], element[1].decode("ascii")
    if tag == _UTC_TIME:
        text = f"{'19' if int(text[:2]) >= _CENTURY else '20'}{text}"
    return int(datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp())


def _name(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for _, several in _elements(data):
        for _, pair in _elements(several):
            (_, oid), (tag, value) = _elements(pair)
            if name := _NAMES.get(_oid(oid)):
                text = value.decode("utf-16-be" if tag == _BMP_STRING else "utf-8", "replace")
                found.setdefault(name, text)
    return found


def _extensions(rest: list[Element]) -> Iterator[tuple[str, bytes]]:
    for tag, data in rest:
        if tag == _EXTENSIONS:
            for _, one in _elements(next(_elements(data))[1]):
                (_, oid), *_, (_, value) = _elements(one)
                yield _oid(oid), value


def _alt_names(data: bytes) -> Iterator[str]:
    """Yield the names in Telegraf's order: DNS, e-mail, addresses, URIs."""
    names = list(_elements(next(_elements(data))[1])) if data else []
    for kind in (_DNS, _EMAIL, _IP, _URI):
        for tag, value in names:
            if tag == kind:
                yield str(ipaddress.ip_address(value)) if kind == _IP else value.decode("ascii", "replace")


def _is_authority(data: bytes) -> bool:
    return bool(data) and any(element == (0x01, b"\xff") for element in _elements(next(_elements(data))[1]))
