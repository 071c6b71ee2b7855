"""Connect to a port, and hold a short dialogue when one is wanted."""

import asyncio
from typing import Final

import msgspec

from collectors.checks import Target
from collectors.checks.engines import trust
from collectors.checks.engines.dial import Dialer, drop
from collectors.checks.engines.expect import Finding, Matcher, Severity, compiled
from collectors.checks.engines.look import Look, observe
from collectors.checks.engines.resolver import Ip, checked_host, checked_port
from collectors.result import Reason, Result
from configs.units import Duration

_MOST: Final = 65536
_SHOWN: Final = 80


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One turn of a dialogue: ``send`` this text (if any), then read until ``expect`` (a regular expression) is found (if any).

    What was read before a match is used up. ``severity`` is how grave it is when something else comes.
    """

    send: str = ""
    expect: str = ""
    severity: Severity = "down"


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    r"""Settings of a tcp check.

    ``host`` and ``port`` to connect to; ``ip`` is "any", "4" or "6"; ``dialogue``: the steps once connected, line ends written out
    (``"\r\n"``). ``tls`` speaks TLS from the first byte, to ``server_name`` (default: ``host``), believing ``ca_file`` (PEM) instead of
    the system's authorities, or anybody when ``verify`` is false. ``slow``: a good run that takes longer is degraded.
    """

    host: str
    port: int
    ip: Ip = "any"
    dialogue: tuple[Step, ...] = ()
    tls: bool = False
    server_name: str = ""
    ca_file: str = ""
    verify: bool = True
    slow: Duration | None = None


class Tcp:
    """Connects once per run."""

    def __init__(self, target: Target, options: Options) -> None:
        checked_host("host", options.host, options.ip)
        checked_port(options.port)
        if options.server_name:
            checked_host("server_name", options.server_name, "any")
        self._target = target
        self._options = options
        self._tls = trust.context(options.ca_file, verify=options.verify) if options.tls else None
        self._dialer = Dialer(options.ip)
        self._steps = [(step.send.encode(), _matcher(step)) for step in options.dialogue]

    async def run(self, at: int) -> Result:
        """Connect once; see ``Check.run``. Phases dns, connect, tls, first_byte (the dialogue). Facts: address, tls_version, received."""
        return await observe(self._target, at, self._work, slow=self._options.slow)

    async def _work(self, look: Look) -> None:
        options = self._options
        reader = asyncio.StreamReader(limit=_MOST)
        transport, protocol = await self._dialer.open(
            look,
            lambda: asyncio.StreamReaderProtocol(reader),
            options.host,
            options.port,
            self._tls,
            options.server_name,
        )
        try:
            connection = transport.get_extra_info("ssl_object")
            if connection is not None:
                look.facts["tls_version"] = connection.version() or ""
            look.summary = f"connected to {look.facts['address']}"
            if self._steps:
                look.enter("first_byte")
                writer = asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
                await self._converse(look, reader, writer)
        finally:
            drop(transport)

    async def _converse(self, look: Look, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = _Heard(reader)
        for send, matcher in self._steps:
            if send:
                writer.write(send)
                await writer.drain()
            if matcher is None:
                continue
            finding = await heard.until(matcher, look.remaining())
            look.facts["received"] = heard.total
            if finding is not None:
                look.findings.append(finding)
                return
        look.summary = f"connected to {look.facts['address']}, dialogue as expected"


class _Heard:
    """What the other side said and no step has used up yet."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._text = ""
        self.total = 0

    async def until(self, matcher: Matcher, within: float) -> Finding | None:
        """Read until the expression is found; else return what is wrong: the end, too much, or silence after other words.

        Raises TimeoutError and ConnectionError when nothing was said at all.
        """
        try:
            # A little less than the run has left, so that the words that did come are told.
            async with asyncio.timeout(within * 0.95):
                while (match := matcher.regex.search(self._text)) is None:
                    chunk = await self._reader.read(_MOST)
                    if not chunk and not self._text:
                        raise ConnectionResetError("closed without a word")
                    if not chunk or len(self._text) > _MOST:
                        return self._wrong(matcher)
                    self.total += len(chunk)
                    self._text += chunk.decode("utf-8", "replace")
        except TimeoutError:
            if not self._text:
                raise
            return self._wrong(matcher)
        self._text = self._text[match.end() :]
        return None

    def _wrong(self, matcher: Matcher) -> Finding:
        return Finding(
            matcher.severity, Reason.CONTENT, f"expected {matcher.regex.pattern!r}, got {self._text[:_SHOWN]!r}"
        )


def _matcher(step: Step) -> Matcher | None:
    return Matcher(compiled("dialogue.expect", step.expect), step.severity) if step.expect else None
