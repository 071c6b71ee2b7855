"""Papers are made in a process of their own: it shares neither the interpreter's lock nor its memory with looks and writes."""

import asyncio
import logging
import pickle
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, cast

from msgspec.structs import replace

from alerts.tables import StateAway
from server.report.model import Report
from server.report.paper import Form, Order
from server.report.worker import SIZE, Outcome, packed

_log: Final = logging.getLogger("pantau.report")
_WORKER: Final = (sys.executable, "-P", "-m", "server.report.worker")
_BUFFER: Final = 1 << 20
_LEAVE: Final = 5.0  # seconds that an idle process gets to end by itself


class PaperFailed(Exception):
    """A paper could not be made: its process died, took too long, or met a fault of ours."""


class PapersBusy(Exception):
    """So many papers wait already that no more are taken."""


class Papers:
    """Makes one paper after the other; belongs to one event loop.

    The process is started when a paper is wanted. It ends when none was for ``idle`` seconds, is another one after
    ``renewed_after`` papers, and is killed when one takes longer than ``longest`` seconds. At most ``most`` different papers wait;
    the same one is made once for all who ask for it meanwhile.
    """

    def __init__(
        self,
        *,
        longest: float = 120.0,
        idle: float = 60.0,
        renewed_after: int = 50,
        most: int = 32,
        worker: Sequence[str] = _WORKER,
    ) -> None:
        self._longest = longest
        self._idle = idle
        self._renewed_after = renewed_after
        self._most = most
        self._worker = worker
        self._alone = asyncio.Lock()
        self._wanted: list[tuple[Order, asyncio.Task[Report | bytes]]] = []
        self._process: Process | None = None
        self._made = 0
        self._leaving: asyncio.Task[None] | None = None

    @property
    def worker_id(self) -> int | None:
        """The process that makes papers, None while there is none."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def figures(self, order: Order) -> Report:
        """Return a report without its evidence (outages, work, days, timelines). PaperFailed, PapersBusy, StateAway."""
        return cast("Report", await self._get(replace(order, form=None)))

    async def text(self, order: Order, form: Form) -> bytes:
        """Return a report written down, UTF-8. PaperFailed, PapersBusy, StateAway."""
        return cast("bytes", await self._get(replace(order, form=form)))

    async def close(self) -> None:
        """Break off what is being made."""
        tasks = [task for _, task in self._wanted]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._leaving:
            self._leaving.cancel()
            await asyncio.gather(self._leaving, return_exceptions=True)
        await self._kill()

    async def _get(self, order: Order) -> Report | bytes:
        same = replace(order, now=0)
        task = next((task for wanted, task in self._wanted if wanted == same), None)
        if task is None:
            if len(self._wanted) >= self._most:
                raise PapersBusy(f"{self._most} papers wait already")
            task = asyncio.create_task(self._make(order))
            entry = same, task
            self._wanted.append(entry)
            task.add_done_callback(lambda _: self._wanted.remove(entry))
        return await asyncio.shield(task)

    async def _make(self, order: Order) -> Report | bytes:
        async with self._alone:
            if self._leaving:
                self._leaving.cancel()
            if self._made >= self._renewed_after:
                await self._kill()
            try:
                outcome, paper = await self._ask(packed(order))
            except BaseException:
                await self._kill()  # what it would say next belongs to nobody
                raise
            self._made += 1
            self._leaving = asyncio.create_task(self._leave())
        match outcome:
            case "made":
                return cast("Report | bytes", paper)
            case "away":
                raise StateAway(str(paper))
            case "failed":
                raise PaperFailed(f"a fault of Pantau's own in the process that makes papers:\n{paper}")

    async def _ask(self, order: bytes) -> tuple[Outcome, object]:
        """Return the answer of the process, which is started if need be. PaperFailed."""
        try:
            async with asyncio.timeout(self._longest):
                process = self._process
                if process is None or process.returncode is not None:
                    process = self._process = await self._started()
                cast("asyncio.StreamWriter", process.stdin).write(order)
                papers = cast("asyncio.StreamReader", process.stdout)
                size = await papers.readexactly(SIZE)
                answer = await papers.readexactly(int.from_bytes(size))
        except TimeoutError as error:
            raise PaperFailed(f"a paper took longer than {self._longest:g} s") from error
        except (asyncio.IncompleteReadError, OSError) as error:
            raise PaperFailed("the process that makes papers has died") from error
        return cast("tuple[Outcome, object]", pickle.loads(answer))  # noqa: S301 - from our own child

    async def _started(self) -> Process:
        self._made = 0
        return await asyncio.create_subprocess_exec(
            *self._worker,
            str(2 * self._longest),
            stdin=PIPE,
            stdout=PIPE,
            limit=_BUFFER,
            start_new_session=True,  # Ctrl-C in a terminal is for the centre
        )

    async def _leave(self) -> None:
        await asyncio.sleep(self._idle)
        async with self._alone:
            if self._process and self._process.stdin:
                self._process.stdin.close()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LEAVE):
                        await self._process.wait()
            await self._kill()

    async def _kill(self) -> None:
        process = self._process
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()  # who is cancelled here leaves it to whoever comes next
        if self._process is process:
            self._process = None
