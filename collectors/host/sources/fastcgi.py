"""Ask a FastCGI server for one page. Source: the FastCGI specification 1.0."""

import struct
from collections.abc import Mapping
from typing import Final

from collectors.host.sources import dial

_MOST: Final = 1 << 20
_HEADER: Final = struct.Struct(">BBHHBx")  # version, type, request, length of contents, of padding
_VERSION: Final = 1
_REQUEST: Final = 1
_BEGIN, _END, _PARAMS, _STDIN, _STDOUT = 1, 3, 4, 5, 6
_BE_RESPONDER: Final = struct.pack(">HB5x", 1, 0)
_SHORT: Final = 128


async def ask(address: str, params: Mapping[str, str], *, seconds: float, most: int = _MOST) -> bytes:
    """Return what a responder writes for a request without a body: header lines, an empty line, the page.

    ``address`` is ``host:port`` or a socket's path. Raises OSError when nothing answers or something else than FastCGI
    does, TimeoutError after ``seconds``.
    """
    pairs = b"".join(_pair(name.encode(), value.encode()) for name, value in params.items())
    request = _record(_BEGIN, _BE_RESPONDER) + _record(_PARAMS, pairs) + _record(_PARAMS, b"") + _record(_STDIN, b"")
    out = bytearray()
    async with dial.connect(address, seconds=seconds) as (reader, writer):
        writer.write(request)
        while True:
            version, kind, _, length, padding = _HEADER.unpack(await reader.readexactly(_HEADER.size))
            if version != _VERSION:
                raise dial.protocol_error("the answer is not FastCGI", address)
            contents = await reader.readexactly(length + padding)
            if kind == _STDOUT:
                out += contents[:length]
            if kind == _END or len(out) > most:
                return bytes(out[:most])


def _record(kind: int, contents: bytes) -> bytes:
    return _HEADER.pack(_VERSION, kind, _REQUEST, len(contents), 0) + contents


def _pair(name: bytes, value: bytes) -> bytes:
    return _length(name) + _length(value) + name + value


def _length(text: bytes) -> bytes:
    return bytes([len(text)]) if len(text) < _SHORT else struct.pack(">I", len(text) | 1 << 31)
