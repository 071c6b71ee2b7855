"""What the latest looks of a subject say together: N of M that failed, and flapping. Pure.

The formula of flapping is Icinga's: 20 looks, each of which changed the state or did not, the newest counting half as much again as the
oldest. Since that depends on how often one looks, flips within a time count as well.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

_RING: Final = 20
_WHOLE: Final = (1 << _RING) - 1
_WEIGHTS: Final = tuple(80 + 2 * age for age in range(_RING))  # hundredths, the oldest first
_HIGH: Final = 30
_LOW: Final = 25


class Recent(msgspec.Struct, frozen=True, array_like=True):
    """The latest looks of one subject that were not UNKNOWN; in rings of bits the newest is the lowest bit.

    ``looks`` of them are in ``failed``; ``failed_at`` holds when the failed ones began, ms of the wall clock; ``last`` is the steady
    time of the newest. ``changed`` tells which of the last 20 changed what was seen, ``flips`` when belief changed, in ms of steady time.
    """

    failed: int = 0
    looks: int = 0
    failed_at: tuple[int, ...] = ()
    last: int = 0
    changed: int = 0
    flips: tuple[int, ...] = ()

    @property
    def failures(self) -> int:
        """How many of the looks failed."""
        return self.failed.bit_count()

    @property
    def calm(self) -> "Recent":
        """The same with no looks: an outage is over, and what failed in it says nothing of what follows."""
        return replace(self, failed=0, looks=0, failed_at=())

    def shifted(self, by: int) -> "Recent":
        """Return the same on a scale of steady time that is ahead ``by`` so many ms."""
        return replace(self, last=self.last + by, flips=tuple(at + by for at in self.flips))

    def looked(self, *, failed: bool, changed: bool, at: int, steady: int, most: int, reach: int) -> "Recent":
        """Add a look: ``most`` are kept, and those before count no more when it is out of ``reach`` of the last of them."""
        before = self if steady - self.last <= reach else self.calm
        ring = (before.failed << 1 | failed) & ((1 << most) - 1)
        failed_at = (*before.failed_at, at) if failed else before.failed_at
        return Recent(
            failed=ring,
            looks=min(before.looks + 1, most),
            failed_at=failed_at[len(failed_at) - ring.bit_count() :],
            last=steady,
            changed=(self.changed << 1 | changed) & _WHOLE,
            flips=self.flips,
        )

    def flipped(self, steady: int, most: int) -> "Recent":
        """Add a flip: ``most`` are kept."""
        return replace(self, flips=(*self.flips, steady)[-most:])

    def flaps(self, steady: int, flips: tuple[int, float], *, already: bool) -> bool:
        """Return whether it flaps: by Icinga's formula, or by ``flips``, so many of them within so many seconds.

        It takes less to go on (``already``) than to begin.
        """
        count, seconds = flips
        newest = sum(1 for at in self.flips if steady - at <= seconds * 1000)
        enough = newest * 2 > count if already else newest >= count
        return enough or percent(self.changed) > (_LOW if already else _HIGH)


def percent(changed: int) -> float:
    """Return Icinga's flapping value, in percent, of a ring of 20 bits."""
    return 5 * sum(_WEIGHTS[_RING - 1 - age] for age in range(_RING) if changed >> age & 1) / 100
