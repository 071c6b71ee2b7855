"""The agent's clocks: the wall clock for stamps, the monotonic one for waiting, and how far the wall clock is off."""

import time
from collections.abc import Callable


class Clock:
    """Both clocks of this machine. ``offset_ms`` is the centre's clock minus ours, None until the centre has answered."""

    def __init__(self, wall: Callable[[], int] = time.time_ns, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.offset_ms: int | None = None
        self.monotonic = monotonic
        self.now = wall

    def ms(self) -> int:
        """Return the wall clock in milliseconds since epoch."""
        return self.now() // 1_000_000

    def compare(self, centre_ms: int, sent_ms: int, received_ms: int) -> None:
        """Learn the offset from one answer: its ``Date`` (whole seconds, so half a second is added) against the middle of the way."""
        self.offset_ms = centre_ms + 500 - (sent_ms + received_ms) // 2
