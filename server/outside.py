"""What the centre has from outside of itself; ``app.py`` hands in the real one, a simulation a made one."""

import asyncio
import platform
import random
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import msgspec

from configs.clock import Clock

T = TypeVar("T")


class InThread(Protocol):
    """Runs work that blocks beside the event loop."""

    def __call__(self, work: Callable[..., T], /, *arguments: Any) -> Awaitable[T]:
        """Return what ``work(*arguments)`` does, once it has ended in a thread."""
        ...


class Outside(msgspec.Struct, frozen=True):
    """Time, chance, threads, and the name of the machine.

    ``chance`` gives numbers in [0, 1), ``token`` names of 16 hexadecimal digits that nobody can guess.
    """

    clock: Clock
    chance: Callable[[], float]
    token: Callable[[], str]
    in_thread: InThread
    host: str


def real() -> Outside:
    """Return what a centre has on a machine."""
    return Outside(
        clock=Clock(),
        chance=random.random,
        token=lambda: secrets.token_hex(8),
        in_thread=asyncio.to_thread,
        host=platform.node(),
    )
