"""``timex``: how far the kernel thinks its clock is off, and whether something keeps it right (adjtimex(2))."""

import asyncio
import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from collectors.point import Point, Value

if TYPE_CHECKING:
    from collectors.host import Roots

_STATES: Final = ("ok", "insert", "delete", "progress", "wait", "error")
_ERROR: Final = 5
_STA_NANO: Final = 0x2000
_FRACTION: Final = 65536.0  # ppm are kept with 16 bits after the point


class Kernel(msgspec.Struct, frozen=True):
    """What adjtimex told: its return value, and the numbers of its struct by their names there."""

    state: int
    numbers: dict[str, int]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to choose."""


class Timex:
    """Asks the kernel, which needs no rights; under systemd's ``ProtectClock=`` the question is refused as well."""

    def __init__(self, _options: Options, _roots: "Roots", ask: Callable[[], Kernel] | None = None) -> None:
        self._ask = ask or adjtimex

    async def collect(self, now: int) -> list[Point]:
        """Return one point, ``offset_ns`` being what is left to correct. PermissionError when the question is refused."""
        return [_point(await asyncio.to_thread(self._ask), now)]


def adjtimex() -> Kernel:
    """Ask for the clock's state and change nothing. OSError when this process may not ask, or this is no Linux."""
    import ctypes  # noqa: PLC0415 - 1 MB that only this collector needs

    # struct timex of linux/timex.h; old and new kernels agree on it
    class Struct(ctypes.Structure):
        _fields_ = (
            ("modes", ctypes.c_uint),
            *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
            ("status", ctypes.c_int),
            *((name, ctypes.c_long) for name in ("constant", "precision", "tolerance", "sec", "usec", "tick")),
            *((name, ctypes.c_long) for name in ("ppsfreq", "jitter")),
            ("shift", ctypes.c_int),
            *((name, ctypes.c_long) for name in ("stabil", "jitcnt", "calcnt", "errcnt", "stbcnt")),
            ("tai", ctypes.c_int),
            ("reserved", ctypes.c_int * 11),
        )

    told = Struct()
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "adjtimex"):
        raise OSError(errno.ENOSYS, "this system has no adjtimex")
    state = library.adjtimex(ctypes.byref(told))
    if state < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"adjtimex: {os.strerror(error)} (under systemd, ProtectClock= forbids it)")
    names = [name for name, *_ in Struct._fields_ if name != "reserved"]
    return Kernel(state, {name: getattr(told, name) for name in names})


def _point(told: Kernel, now: int) -> Point:
    number = told.numbers
    unit = 1 if number["status"] & _STA_NANO else 1000
    fields: dict[str, Value] = {
        "offset_ns": number["offset"] * unit,
        "frequency_offset_ppm": number["freq"] / _FRACTION,
        "maxerror_ns": number["maxerror"] * 1000,
        "estimated_error_ns": number["esterror"] * 1000,
        "status": number["status"],
        "loop_time_constant": number["constant"],
        "tick_ns": number["tick"] * 1000,
        "pps_frequency_ppm": number["ppsfreq"] / _FRACTION,
        "pps_jitter_ns": number["jitter"] * unit,
        "pps_shift_sec": number["shift"],
        "pps_stability_ppm": number["stabil"] / _FRACTION,
        "pps_jitter_total": number["jitcnt"],
        "pps_calibration_total": number["calcnt"],
        "pps_error_total": number["errcnt"],
        "pps_stability_exceeded_total": number["stbcnt"],
        "tai_offset_sec": number["tai"],
        "synchronized": told.state != _ERROR,
    }
    return Point("timex", {"status": _STATES[told.state] if told.state < len(_STATES) else "unknown"}, fields, now)
