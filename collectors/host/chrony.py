"""``chrony``: how far chronyd thinks the clock is off, and what it follows."""

import errno
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.host.sources import program
from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

_COMMAND: Final = ("chronyc", "-n", "-c", "tracking")
_SECONDS: Final = 5
# the columns of "chronyc -c tracking", in their order
_REFERENCE: Final = 0
_STRATUM: Final = 2
_NUMBERS: Final = {
    "system_time": 4,
    "last_offset": 5,
    "rms_offset": 6,
    "frequency": 7,
    "residual_freq": 8,
    "skew": 9,
    "root_delay": 10,
    "root_dispersion": 11,
    "update_interval": 12,
}
_LEAP: Final = 13


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to choose."""


class Chrony:
    """Calls ``chronyc``."""

    def __init__(self, _options: Options, _roots: "Roots", run: program.Run = program.run) -> None:
        self._run = run

    async def collect(self, now: int) -> list[Point]:
        """Return one point: seconds and ppm. FileNotFoundError without chronyc, ConnectionRefusedError without chronyd."""
        ended = await self._run(_COMMAND, seconds=_SECONDS)
        columns = ended.out.strip().split(",")
        if ended.code or len(columns) <= _LEAP:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"chronyc: {ended.complaint()}")
        tags = {
            "reference_id": columns[_REFERENCE],
            "stratum": columns[_STRATUM],
            "leap_status": columns[_LEAP].lower().replace("synchronised", "synchronized"),
        }
        fields: dict[str, Value] = {name: float(columns[place]) for name, place in _NUMBERS.items()}
        return [Point("chrony", tags, fields, now)]
