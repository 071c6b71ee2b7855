"""Threads for the collectors: a few for all, and whose call hangs in which is known."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, Final

CALLS: Final[ContextVar[list[Future[Any]]]] = ContextVar("calls")
"""Where the calls into threads are noted that the running task makes."""

_MOST: Final = 4


class Threads(ThreadPoolExecutor):
    """What ``asyncio.to_thread`` uses. A call that hangs keeps its thread: then a fresh one of these is to take its place."""

    def __init__(self) -> None:
        super().__init__(_MOST, "collect")

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have ``fn`` called in a thread, and note it."""
        call = super().submit(fn, *args, **kwargs)
        calls = CALLS.get(None)
        if calls is not None:
            calls.append(call)
        return call
