"""Ask file systems how full they are without ever waiting for one that hangs."""

import asyncio
import contextlib
import errno
import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

_GLANCE: Final = 0.05

Answer = os.statvfs_result | OSError


def statvfs_by_child(path: str) -> os.statvfs_result:
    """Do as ``os.statvfs``, in a process of its own.

    A call into a file system in user space (FUSE) that never answers cannot even be ended by SIGKILL, nor can the process that
    it was made in: this way it is not the agent.
    """
    command = ["stat", "--file-system", "--format=%s %S %b %f %a %c %d", "--", path]
    try:
        told = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603 - no shell, and a path is no option
    except FileNotFoundError:
        return os.statvfs(path)
    if told.returncode:
        raise OSError(errno.EIO, told.stderr.decode(errors="replace").strip(), path)
    size, unit, blocks, free, available, files, free_files = map(int, told.stdout.split())
    return os.statvfs_result((size, unit, blocks, free, available, files, free_files, free_files, 0, 255))


class Prober:
    """Calls ``statvfs`` in daemon threads of its own, at most ``threads`` of them; normally one asks all paths in turn.

    A path whose call hangs costs the thread that it hangs in: another thread goes on with the other paths, and the path is
    not asked again before its call has returned.
    """

    def __init__(
        self,
        timeout: float,
        *,
        threads: int = 4,
        statvfs: Callable[[str], os.statvfs_result] = os.statvfs,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout = timeout
        self._limit = threads
        self._statvfs = statvfs
        self._elapsed = elapsed
        self._threads: list[threading.Thread] = []
        self._asked: dict[str, float] = {}

    def hanging(self) -> set[str]:
        """Return the paths whose call has not returned, those included that a prober before this one gave up.

        Settings that are read anew make new probers, and a mount that hangs must not cost a thread each time.
        """
        others = (thread for thread in threading.enumerate() if isinstance(thread, _Asker))
        return set(self._asked.copy()).union(*(one.asking for one in others if one.statvfs is self._statvfs))

    async def ask(self, paths: Iterable[str]) -> dict[str, Answer]:
        """Return what each path answered; those that hang longer than ``timeout`` seconds, or found no thread, are missing."""
        batch = _Batch(paths, self.hanging())
        try:
            while self._goes_on(batch):
                await batch.news(_GLANCE)
        finally:
            batch.todo.clear()
        return batch.answers.copy()

    def _goes_on(self, batch: "_Batch") -> bool:
        """Start a thread when none gets ahead; tell whether waiting can still bring an answer."""
        now = self._elapsed()
        ages = [now - since for path, since in self._asked.copy().items() if path in batch.paths]
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        moving = batch.workers - sum(age > _GLANCE for age in ages)
        if batch.todo and moving <= 0 and len(self._threads) < self._limit:
            self._start(batch)
            return True
        return moving > 0 or any(age < self._timeout for age in ages)

    def _start(self, batch: "_Batch") -> None:
        thread = _Asker(self._statvfs)
        thread.work = partial(self._work, batch, thread.asking)
        self._threads.append(thread)
        batch.workers += 1
        thread.start()

    def _work(self, batch: "_Batch", asking: set[str]) -> None:
        while True:
            try:
                path = batch.todo.popleft()
            except IndexError:
                break
            self._asked[path] = self._elapsed()
            asking.add(path)
            try:
                batch.answers[path] = self._statvfs(path)
            except OSError as error:
                batch.answers[path] = error
            finally:
                asking.discard(path)
                del self._asked[path]
        batch.leave()


class _Asker(threading.Thread):
    """A thread that asks; ``asking`` has the path that it waits for."""

    work: Callable[[], None]

    def __init__(self, statvfs: Callable[[str], os.statvfs_result]) -> None:
        super().__init__(name="statvfs", daemon=True)
        self.statvfs = statvfs
        self.asking: set[str] = set()

    def run(self) -> None:
        self.work()


class _Batch:
    """One round of questions: what its workers share with the event loop."""

    def __init__(self, paths: Iterable[str], hanging: set[str]) -> None:
        self.paths = {path for path in paths if path not in hanging}
        self.todo = deque(self.paths)
        self.answers: dict[str, Answer] = {}
        self.workers = 0
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    async def news(self, seconds: float) -> None:
        """Wait until a worker leaves, or a while."""
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return
        self._news.clear()

    def leave(self) -> None:
        """Say, from a worker's thread, that it ends; the loop may have ended before it."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._left)

    def _left(self) -> None:
        self.workers -= 1
        self._news.set()
