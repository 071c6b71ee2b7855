"""The one door to aiohttp's client: ask a web address as a visitor does, over a fresh connection, and judge what comes back."""

import asyncio
import base64
import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import SplitResult, urljoin, urlsplit

import aiohttp
import msgspec

from collectors.checks import Target
from collectors.checks.engines import trust
from collectors.checks.engines.certificates import chains, earliest
from collectors.checks.engines.dial import Dialer, drop
from collectors.checks.engines.expect import Patterns, Severity
from collectors.checks.engines.failure import Failure, from_error, words
from collectors.checks.engines.inflate import Body, NotCompressed
from collectors.checks.engines.look import Look, observe
from collectors.checks.engines.page import Answer, Expected, HeaderPatterns
from collectors.checks.engines.resolver import Ip, checked_host
from collectors.result import Reason, Result, Status
from configs import redact
from configs.secret import Secret, SecretUnreadable
from configs.units import Duration, Size

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_SAME_METHOD: Final = frozenset({307, 308})
_OF_THE_ORIGIN: Final = frozenset({"authorization", "cookie", "host", "proxy-authorization"})
_LINE_ENDS: Final = frozenset("\r\n\0")
_METHOD_SIGNS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of an http check.

    Request: ``url`` (http or https, without user and password), ``method``, ``headers``, ``secret_headers`` (values kept as
    secrets), ``body``, ``basic_user`` with ``basic_password``, or ``bearer``; ``user_agent``; ``ip`` is "any", "4" or "6".
    Secrets go to the origin of ``url`` only, never along a redirect to another.

    Expected: ``status`` of the last answer (such as "200-299,301"), ``body_present`` and ``body_absent`` (a regular expression, a
    list of them, or tables with ``pattern`` and ``severity``), ``headers_present`` and ``headers_absent`` (header to expressions on
    its value). ``redirects`` is how many may be followed; 0 looks at the redirect itself.

    Limits: ``max_body`` bounds the body as received and as unpacked; a longer one is read up to there, which is told when it
    matters to an expression, or else when ``oversize`` says how grave it is. ``slow``: a good answer that takes longer is degraded.

    TLS: ``ca_file`` (PEM) is believed instead of the system's authorities; ``verify`` = false believes anybody; ``warn_days``: tell
    when a certificate on the way has fewer days left (0: never), which leaves the service up.
    """

    url: str
    method: str = "GET"
    headers: dict[str, str] = {}
    secret_headers: dict[str, Secret] = {}
    body: str = ""
    basic_user: str = ""
    basic_password: Secret | None = None
    bearer: Secret | None = None
    user_agent: str = "Pantau/1 (uptime check)"
    ip: Ip = "any"
    status: str = "200-399"
    body_present: Patterns = ()
    body_absent: Patterns = ()
    headers_present: HeaderPatterns = {}
    headers_absent: HeaderPatterns = {}
    redirects: int = 10
    max_body: Size = Size(2**20)
    oversize: Severity | None = None
    slow: Duration | None = None
    ca_file: str = ""
    verify: bool = True
    warn_days: int = 0


class Http:
    """Asks one web address once per run; redirects are followed and recorded hop by hop, cookies kept within the run."""

    def __init__(self, target: Target, options: Options) -> None:
        self._target = target
        self._options = options
        _check(options)
        self._expected = Expected(
            status=options.status,
            body_present=options.body_present,
            body_absent=options.body_absent,
            headers_present=options.headers_present,
            headers_absent=options.headers_absent,
            oversize=options.oversize,
        )
        if options.redirects and self._expected.statuses <= _REDIRECTS:
            raise ValueError(
                "'status': only redirects are expected, so set redirects = 0 to look at the redirect itself"
            )
        self._tls = trust.context(options.ca_file, verify=options.verify, alpn="http/1.1")
        self._dialer = Dialer(options.ip)

    async def run(self, at: int) -> Result:
        """Ask once; see ``Check.run``. Phases dns, connect, tls, first_byte (up to the end of the headers) and transfer.

        Of a run with redirects, each phase is the sum over all hops. Facts: status, url (the last), address, bytes, truncated,
        hops, hop_1 ..., tls_version and days_left (of the earliest certificate of all hops).
        """
        return await observe(self._target, at, self._work, slow=self._options.slow)

    async def _work(self, look: Look) -> None:
        secrets = await self._secrets(look)
        look.begin()
        connector = _Connector(self._dialer, look, self._tls)
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            auto_decompress=False,
        )
        try:
            answer = await self._follow(look, session, secrets)
        except aiohttp.ClientError as error:
            raise _failure(error, look) from error
        finally:
            connector.abort()
            await session.close()
        self._judge(look, answer)

    async def _secrets(self, look: Look) -> dict[str, str]:
        """Return the headers that hold secrets: read afresh, off the loop since some are files."""
        options = self._options
        if not (options.secret_headers or options.basic_password or options.bearer):
            return {}
        try:
            headers, values = await asyncio.to_thread(_reveal, options)
        except SecretUnreadable as error:
            raise Failure(Reason.BUG, str(error), Status.UNKNOWN) from error
        look.veil.add(values)
        return headers

    async def _follow(self, look: Look, session: aiohttp.ClientSession, secrets: Mapping[str, str]) -> Answer:
        options = self._options
        url, method, data = options.url, options.method, options.body.encode() or None
        headers = {"User-Agent": options.user_agent, "Accept-Encoding": "gzip, deflate", **options.headers, **secrets}
        for hop in range(1, options.redirects + 2):
            before = look.took
            look.facts["url"] = redact.url(url)
            async with session.request(method, url, data=data, headers=headers, allow_redirects=False) as response:
                look.facts["status"] = response.status
                location = response.headers.get("Location") if response.status in _REDIRECTS else None
                if location is None or not options.redirects:
                    return await self._read(look, response)
            look.enter("dns")
            look.facts["hops"] = hop
            look.facts[f"hop_{hop}"] = f"{response.status} {redact.url(url)} {look.took - before:.3f} s"
            goal = _goal(url, location)
            if _origin(goal) != _origin(url):
                headers = {
                    name: value
                    for name, value in headers.items()
                    if name not in secrets and name.lower() not in _OF_THE_ORIGIN
                }
            if response.status not in _SAME_METHOD and method != "HEAD":
                method, data = "GET", None
            url = goal
        raise Failure(
            Reason.HTTP_STATUS,
            f"more than {options.redirects} redirects, the last HTTP {response.status} to {redact.url(url)}",
        )

    async def _read(self, look: Look, response: aiohttp.ClientResponse) -> Answer:
        look.enter("transfer")
        body = Body(response.headers.get("Content-Encoding", ""), self._options.max_body)
        try:
            async for chunk in response.content.iter_any():
                if not body.feed(chunk):
                    break
        except NotCompressed as error:
            raise Failure(Reason.PROTOCOL, str(error)) from error
        finally:
            look.facts["bytes"] = body.received
            response.close()
        return Answer(response.status, response.reason or "", response.headers, body, response.charset or "utf-8")

    def _judge(self, look: Look, answer: Answer) -> None:
        look.summary = f"{answer}, {answer.body.received} bytes"
        if answer.body.cut:
            look.facts["truncated"] = True
        look.findings.extend(self._expected.findings(answer))
        days = look.facts.get("days_left")
        if isinstance(days, int) and days < self._options.warn_days:
            look.find("warn", Reason.TLS_EXPIRING, f"certificate expires in {days} days")


class _Connector(aiohttp.BaseConnector):
    """Gives aiohttp connections that the dialer opened, so that each phase is timed where it happens."""

    def __init__(self, dialer: Dialer, look: Look, tls: ssl.SSLContext) -> None:
        super().__init__(force_close=True, limit=0)
        self._dialer = dialer
        self._look = look
        self._tls = tls
        self._opened: list[asyncio.Transport] = []

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> Any:  # noqa: ARG002, ASYNC109 - aiohttp's own call
        tls = self._tls if req.is_ssl() else None
        transport, protocol = await self._dialer.open(self._look, self._factory, req.url.raw_host, req.url.port, tls)
        self._opened.append(transport)
        if tls is not None:
            self._note_certificates(transport.get_extra_info("ssl_object"))
        self._look.enter("first_byte")
        return protocol

    def _note_certificates(self, connection: ssl.SSLObject) -> None:
        facts = self._look.facts
        facts["tls_version"] = connection.version() or ""
        days = earliest(chains(connection).deciding).days_left(self._look.at)
        before = facts.get("days_left")
        facts["days_left"] = min(days, before) if isinstance(before, int) else days

    def abort(self) -> None:
        """Drop every connection at once."""
        for transport in self._opened:
            drop(transport)


def _check(options: Options) -> None:
    parts = _split("url", options.url)
    checked_host("url", parts.hostname or "", options.ip)
    if not options.method or not set(options.method) <= _METHOD_SIGNS:
        raise ValueError(f"'method': expected a word in capitals such as \"GET\", got {options.method!r}")
    for name, value in options.headers.items():
        if not name or _LINE_ENDS & set(name + value):
            raise ValueError(f"'headers': {name!r} has a line end in it")
    if bool(options.basic_user) != (options.basic_password is not None):
        raise ValueError("'basic_user' and 'basic_password' go together")
    if options.basic_user and options.bearer:
        raise ValueError("'bearer' and 'basic_user' exclude each other")
    if options.redirects < 0:
        raise ValueError("'redirects': expected 0 or more")
    if options.max_body < 1:
        raise ValueError("'max_body': expected at least one byte")


def _split(option: str, url: str) -> SplitResult:
    """Parse a URL; ValueError says what is wrong, without the password that may be in it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{option!r}: not a URL: {redact.url(url)!r}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ValueError(f"{option!r}: expected http://HOST or https://HOST, got {redact.url(url)!r}")
    if parts.username is not None:
        raise ValueError(f"{option!r}: no user and password in the URL, use basic_user and basic_password")
    return parts


def _reveal(options: Options) -> tuple[dict[str, str], list[str]]:
    """Read the secrets; return the headers that carry them, and the values to hide."""
    headers = {name: _one_line(secret) for name, secret in options.secret_headers.items()}
    values = list(headers.values())
    if options.bearer is not None:
        values.append(_one_line(options.bearer))
        headers["Authorization"] = f"Bearer {values[-1]}"
    if options.basic_password is not None:
        pair = f"{options.basic_user}:{options.basic_password.reveal()}"
        values += [pair, options.basic_password.reveal()]
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return headers, values


def _one_line(secret: Secret) -> str:
    value = secret.reveal()
    if _LINE_ENDS & set(value):
        raise SecretUnreadable(f"the secret in {secret} has a line end in it, which no header can carry")
    return value


def _goal(url: str, location: str) -> str:
    """Return where a redirect leads; user and password that a server puts there are not used."""
    try:
        goal = urljoin(url, location)
        parts = urlsplit(goal)
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
        _split("Location", bare)
        checked_host("Location", parts.hostname or "", "any")
    except ValueError as error:
        raise Failure(Reason.PROTOCOL, f"redirect to {redact.url(location)!r}, which is no web address") from error
    return bare


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _failure(error: aiohttp.ClientError, look: Look) -> Failure:
    """Return what aiohttp's error says of the target."""
    cause = error.__cause__
    if isinstance(error, OSError):
        # aiohttp wraps what the dialer raised into a kind of its own, which no longer says what it was.
        return from_error(cause if isinstance(cause, OSError) else error, look.phase, look.target.timeout)
    if isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientConnectionError)):
        return Failure(Reason.CONNECTION_LOST, f"closed in phase {look.phase}, before the answer ended")
    if isinstance(error, aiohttp.ClientPayloadError) and not isinstance(
        cause, aiohttp.http_exceptions.TransferEncodingError
    ):
        return Failure(Reason.CONNECTION_LOST, "closed in the middle of the body")
    return Failure(Reason.PROTOCOL, f"not an answer in HTTP: {words(error)}")
