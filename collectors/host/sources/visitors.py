"""Count different visitors without keeping who they were: a sketch of hashes with a salt of the day."""

import hashlib
import math
import zlib
from typing import Final

_BITS: Final = 12
_REGISTERS: Final = 1 << _BITS
_REST: Final = 64 - _BITS
_ALPHA: Final = 0.7213 / (1 + 1.079 / _REGISTERS)


class Sketch:
    """A HyperLogLog of 4096 registers, 4 KB: off by 1.6 % at most times, exact or nearly so below a hundred.

    Source: Flajolet, Fusy, Gandouet, Meunier: "HyperLogLog" (2007), with linear counting for small numbers.
    """

    def __init__(self, packed: bytes = b"") -> None:
        told = bytearray(zlib.decompress(packed)) if packed else bytearray()
        self._registers = told if len(told) == _REGISTERS else bytearray(_REGISTERS)

    def add(self, who: str, salt: bytes) -> None:
        """Record a visitor."""
        digest = hashlib.blake2b(who.encode("utf-8", "surrogateescape"), digest_size=8, key=salt).digest()
        number = int.from_bytes(digest, "big")
        register, rest = number >> _REST, number & ((1 << _REST) - 1)
        rank = _REST - rest.bit_length() + 1
        self._registers[register] = max(self._registers[register], rank)

    def count(self) -> int:
        """Return about how many different ones were added."""
        empty = self._registers.count(0)
        if empty > _REGISTERS // 10:
            return round(_REGISTERS * math.log(_REGISTERS / empty))
        return round(_ALPHA * _REGISTERS**2 / sum(2.0**-rank for rank in self._registers))

    def packed(self) -> bytes:
        """Return it in a form from which it can be made again."""
        return zlib.compress(self._registers, 1)
