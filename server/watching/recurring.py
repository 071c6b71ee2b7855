"""Work that is done again and again while the centre runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from alerts.tables import StateAway

_log: Final = logging.getLogger("pantau.server")


async def forever(name: str, work: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Do ``work`` every so many ``seconds`` until cancelled; one failure is logged and does not end it.

    That the database of state is away is told once, by itself.
    """
    while True:
        try:
            await work()
        except StateAway:
            pass
        except Exception:  # noqa: BLE001 - one bad turn must not stop the heart of the centre
            _log.exception("%s failed", name)
        await asyncio.sleep(seconds)
