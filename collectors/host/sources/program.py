"""Run another program and read what it says, without ever waiting for it too long or keeping too much of it."""

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import AsyncIterator, Sequence
from io import FileIO
from typing import Any, Final, Protocol

import msgspec

_CHUNK: Final = 1 << 16
_MOST_COMPLAINT: Final = 4096
_MOST: Final = 1 << 20
_LEFT_SECONDS: Final = 0.5  # for what stands in the pipes when a daemon with a session of its own keeps them open
_dying: Final[set[asyncio.Future[int]]] = set()
_ENVIRONMENT: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


class Ended(msgspec.Struct, frozen=True):
    """How a program ended: exit code (negative: the signal that killed it), output, the start of its complaints."""

    code: int
    out: str
    err: str = ""

    def complaint(self) -> str:
        """Return one line that says what went wrong."""
        lines = (line.strip() for line in f"{self.err}\n{self.out}".splitlines())
        return next((line for line in lines if line), f"exit code {self.code}")


class Run(Protocol):
    """How collectors run programs; tests hand in another one."""

    async def __call__(self, command: Sequence[str], *, seconds: float) -> Ended:
        """Run ``command`` for at most ``seconds``; see ``run``."""
        ...


async def run(
    command: Sequence[str], *, seconds: float, most: int = _MOST, cut: bool = False, reap: float = 1.0
) -> Ended:
    """Run ``command`` in a process group of its own, in the C locale and without input, and tell how it ended.

    Raises FileNotFoundError when there is no such program, TimeoutError after ``seconds``, and OSError with EFBIG when it
    writes more than ``most`` bytes, unless ``cut``: then its first ``most`` bytes are told, and it counts as killed. However this
    ends, what is left of the group is killed, and waited for up to ``reap`` seconds.
    """
    async with _pipe() as (out, write_out), _pipe() as (err, write_err):
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=write_out,
            stderr=write_err,
            start_new_session=True,
            cwd="/",
            env=_ENVIRONMENT,
        )
        write_out.close()
        write_err.close()
        said, complained = bytearray(), bytearray()
        told = asyncio.gather(_read(out, most, said), _read(err, _MOST_COMPLAINT, complained, drop=True))
        ending = asyncio.ensure_future(process.wait())
        both: set[asyncio.Future[Any]] = {ending, told}
        try:
            async with asyncio.timeout(seconds):
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                if not told.done():
                    _kill(process.pid)  # what it left behind holds the pipes open
                    await asyncio.wait({told}, timeout=_LEFT_SECONDS)
                if told.done():
                    told.result()  # its error, if any
                return Ended(await ending, _text(said, most), _text(complained, _MOST_COMPLAINT))
        except OSError as error:
            if cut and error.errno == errno.EFBIG:
                return Ended(-signal.SIGKILL, _text(said, most))
            if not isinstance(error, TimeoutError):
                raise
            raise TimeoutError(errno.ETIMEDOUT, f"no end within {seconds:g} s", command[0]) from error
        finally:
            told.cancel()
            _kill(process.pid)
            await asyncio.wait(both, timeout=reap)
            if not ending.done():
                # it hangs in the kernel, or the machine is very busy: whoever drops it now is told that it still runs
                _dying.add(ending)
                ending.add_done_callback(_dying.discard)
            if told.done() and not told.cancelled():
                told.exception()  # looked at, so that nobody complains later that nobody did


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


@contextlib.asynccontextmanager
async def _pipe() -> AsyncIterator[tuple[asyncio.StreamReader, FileIO]]:
    """Open a pipe of our own: asyncio waits with its ones for every grandchild that holds them."""
    inside, outside = os.pipe()
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), FileIO(inside, "rb")
    )
    try:
        with FileIO(outside, "wb") as end:
            yield reader, end
    finally:
        transport.close()


async def _read(reader: asyncio.StreamReader, most: int, kept: bytearray, *, drop: bool = False) -> None:
    """Read into ``kept`` to the end; beyond ``most`` bytes, drop the rest or raise OSError with EFBIG."""
    while chunk := await reader.read(_CHUNK):
        kept += chunk[: most + 1 - len(kept)]
        if len(kept) > most and not drop:
            raise OSError(errno.EFBIG, f"wrote more than {most} bytes")


def _text(kept: bytearray, most: int) -> str:
    return kept[:most].decode("utf-8", "replace")
