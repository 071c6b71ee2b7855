"""Take a body in, unpacked and bounded on both sides: what came over the wire, and what it swells to."""

import zlib
from typing import Final

_GZIP: Final = 31
_ZLIB: Final = 15
_RAW: Final = -15
_CODINGS: Final = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}


class NotCompressed(ValueError):
    """The body is not in the coding that its header names."""


class Body:
    """Collects at most ``limit`` bytes of a body, of what comes in and of what it unpacks to alike.

    ``coding`` is the Content-Encoding; one that we never ask for is kept as it came, with ``readable`` false.
    """

    def __init__(self, coding: str, limit: int) -> None:
        self.limit = limit
        self._coding = coding.strip().lower()
        self._unpack = zlib.decompressobj(_CODINGS[self._coding]) if self._coding in _CODINGS else None
        self._content = bytearray()
        self.readable = self._unpack is not None or self._coding in {"", "identity"}
        self.received = 0
        self.cut = False

    @property
    def content(self) -> bytes:
        """What was unpacked so far."""
        return bytes(self._content)

    def feed(self, chunk: bytes) -> bool:
        """Add the next bytes off the wire; False when the limit is reached and reading should stop. Raises NotCompressed."""
        if self.received + len(chunk) > self.limit:
            chunk = chunk[: self.limit - self.received]
            self.cut = True
        self.received += len(chunk)
        room = self.limit - len(self._content)
        # One byte more than there is room for shows that there was more.
        unpacked = self._unpacked(chunk, room + 1)
        self.cut = self.cut or len(unpacked) > room
        self._content += unpacked[:room]
        return not self.cut

    def _unpacked(self, chunk: bytes, most: int) -> bytes:
        if self._unpack is None:
            return chunk[:most]
        try:
            return self._unpack.decompress(chunk, most)
        except zlib.error as error:
            # "deflate" is zlib's format (RFC 9110, 8.4.1.2), yet some servers send it bare.
            if self._coding == "deflate" and not self._content and self.received == len(chunk):
                self._unpack, self._coding = zlib.decompressobj(_RAW), "bare deflate"
                return self._unpacked(chunk, most)
            raise NotCompressed(f"the body is not {self._coding}: {error}") from error
