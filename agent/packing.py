"""Lines as one compressed body, the same in the spool and on the way."""

import zlib
from collections.abc import Sequence


def pack(lines: Sequence[bytes]) -> bytes:
    """Compress lines to a gzip body; the window is fitted to their size, as zlib's usual 256 kB cost more than the work."""
    text = b"\n".join(lines)
    bits = min(max(len(text).bit_length(), 9), 15)
    packer = zlib.compressobj(6, zlib.DEFLATED, 16 + bits, max(bits - 7, 1))
    return packer.compress(text) + packer.flush()


def unpack(body: bytes) -> list[bytes]:
    """Return the lines of a body; zlib.error when it is damaged."""
    return zlib.decompress(body, wbits=31).split(b"\n")
