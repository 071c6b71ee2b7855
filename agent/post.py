"""Post: lines over HTTP to the one address that the settings name. The one place that imports http.client and ssl.

Speaks HTTP/1.1 with keep-alive from a thread of its own. ``timeout`` bounds the whole exchange, not each read.
"""

import base64
import contextlib
import os
import socket
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse
from math import inf
from typing import Any, Final, Literal
from urllib.parse import quote, urlsplit

import msgspec

from agent.resolve import Address, Names
from agent.trust import system_bundle
from agent.version import VERSION
from configs.secret import Secret, SecretUnreadable
from configs.terminal import one_line
from configs.units import Duration

_EXCERPT: Final = 2000
_VERSION: Final = 40


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where lines go: ``api = "v2"`` is ``/api/v2/write`` (Pantau, InfluxDB 1.8 and later, VictoriaMetrics); "v1" is ``/write``.

    For "v1", ``bucket`` is the database; with ``user``, the token is its password. ``ca`` is a file of trusted certificates.
    """

    url: str
    org: str = "pantau"
    bucket: str = "pantau"
    token: Secret | None = None
    user: str = ""
    api: Literal["v2", "v1"] = "v2"
    ca: str = ""
    timeout: Duration = Duration(15)
    interval: Duration = Duration(10)


class Unreachable(Exception):
    """No answer: name, network, TLS or time; or the token could not be read (then ``ours``)."""

    def __init__(self, why: str, *, ours: bool = False) -> None:
        super().__init__(why)
        self.ours = ours


class Answer(msgspec.Struct, frozen=True):
    """What the other side said; ``date`` is its clock, ``retry_after`` its wish (s), ``version`` that of its Pantau, where it told them."""

    status: int
    text: str = ""
    html: bool = False
    date: int | None = None
    retry_after: float | None = None
    version: str = ""


def why_not_url(url: str) -> str:
    """Return what is wrong with an address, or ""."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        return f'expected an address such as "https://pantau.example.go.id", got {url!r}'
    if parts.username or parts.password:
        return "a password does not belong into the address; use token"
    if parts.query or parts.fragment:
        return f"the address must end with its path, got {url!r}"
    return ""


class Endpoint:
    """One address that takes lines. Building connects to nothing. Used by one thread, except ``abort``.

    ``machine`` is the fingerprint of this machine, sent along with each write.
    """

    def __init__(self, options: Options, machine: str = "") -> None:
        parts = urlsplit(options.url)
        self._options = options
        self._machine = machine
        self._aborted = False
        self._host = parts.netloc
        self._base = parts.path.rstrip("/")
        if options.api == "v2":
            query = f"org={quote(options.org, safe='')}&bucket={quote(options.bucket, safe='')}&precision=ns"
            self._path = f"{self._base}/api/v2/write?{query}"
        else:
            self._path = f"{self._base}/write?db={quote(options.bucket, safe='')}&precision=ns"
        tls = parts.scheme == "https"
        self._connection = _Connection(parts.hostname or "", parts.port or (443 if tls else 80), tls=tls, ca=options.ca)

    def post(self, body: bytes) -> Answer:
        """Send one gzip'd body; raises Unreachable when there is no whole answer within the timeout."""
        return self._send(self._path, body, self._headers())

    def ask(self, path: str, body: bytes) -> Answer:
        """Send JSON to another address of the centre, without the token; raises Unreachable as ``post`` does."""
        headers = {"Host": self._host, "Content-Type": "application/json", "User-Agent": f"pantau-agent/{VERSION}"}
        return self._send(self._base + path, body, headers)

    def _send(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        reused = self._connection.sock is not None
        self._connection.until = time.monotonic() + self._options.timeout
        try:
            try:
                return self._exchange(path, body, headers)
            except (ConnectionError, HTTPException):
                if not reused or self._aborted:
                    raise
                self._connection.close()  # an idle connection that the other side has closed meanwhile: once more, afresh
                return self._exchange(path, body, headers)
        except (OSError, HTTPException, ValueError) as error:
            self._connection.close()
            raise Unreachable(_plain(error)) from error

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def abort(self) -> None:
        """From another thread: make a ``post`` that is under way fail at once."""
        self._aborted = True
        sock = self._connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _headers(self) -> dict[str, str]:
        headers = {
            "Host": self._host,
            "Content-Encoding": "gzip",
            "Content-Type": "text/plain; charset=utf-8",
            "User-Agent": f"pantau-agent/{VERSION}",
        }
        if self._machine:
            headers["X-Pantau-Machine"] = self._machine
        if self._options.token is not None:
            try:
                token = self._options.token.reveal()
            except SecretUnreadable as error:
                raise Unreachable(str(error), ours=True) from error
            if self._options.user:
                pair = base64.b64encode(f"{self._options.user}:{token}".encode()).decode()
                headers["Authorization"] = f"Basic {pair}"
            else:
                headers["Authorization"] = f"Token {token}"
        return headers

    def _exchange(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        self._connection.request("POST", path, body, headers)
        response = self._connection.getresponse()
        text = response.read(_EXCERPT).decode("utf-8", "replace")
        if not response.isclosed():
            self._connection.close()  # more than anyone wants to know
        return read_answer(response, text)


def read_answer(response: HTTPResponse, text: str) -> Answer:
    """Turn a response and the beginning of its body into an Answer."""
    date = _moment(response.getheader("Date"))
    html = "html" in (response.getheader("Content-Type") or "").lower() or text.lstrip()[:1] == "<"
    return Answer(
        status=response.status,
        text=one_line(text)[:500],
        html=html,
        date=date,
        retry_after=_retry_after(response.getheader("Retry-After"), date),
        version=one_line(response.getheader("X-Pantau-Version") or "")[:_VERSION],
    )


def _retry_after(text: str | None, date: int | None) -> float | None:
    """Read seconds or an HTTP date (against the other side's own clock); None for what is neither."""
    if text is None:
        return None
    try:
        return float(int(text))
    except OverflowError:
        return inf
    except ValueError:
        moment = _moment(text)
    return None if moment is None or date is None else (moment - date) / 1000


def _moment(text: str | None) -> int | None:
    """Read an HTTP date as ms since epoch."""
    try:
        return None if text is None else round(parsedate_to_datetime(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _plain(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return one_line(error.strerror)
    return one_line(f"{type(error).__name__}: {error}".rstrip(": "))  # a status line that is none stands in it


class _Connection(HTTPConnection):
    """A connection that keeps to ``until`` (monotonic) over name, connect, TLS, writing and reading.

    When the name cannot be resolved, the address that worked last is tried.
    """

    def __init__(self, host: str, port: int, *, tls: bool, ca: str) -> None:
        super().__init__(host, port)
        self.until = 0.0
        self._tls = tls
        self._ca = ca
        self._context: Any = None
        self._names = Names()

    def left(self) -> float:
        """Return the seconds that are left; TimeoutError when none are."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def connect(self) -> None:
        """Connect to the first address that answers; each gets its share of the time."""
        addresses = self._names.find(self.host, self.port, self.left() / 2)
        failure: OSError = OSError("the name has no address")
        for position, address in enumerate(addresses):
            try:
                self.sock = self._wrap(self._dial(address, self.left() / (len(addresses) - position)))
            except OSError as error:
                failure = error
            else:
                self._names.good = [address]
                return
        raise failure

    def send(self, data: Any) -> None:
        """Write within what is left of the time."""
        if self.sock is None:
            self.connect()
        self.sock.settimeout(self.left())
        super().send(data)

    def _dial(self, address: Address, seconds: float) -> socket.socket:
        sock = _Socket(address.family, socket.SOCK_STREAM)
        sock.left = self.left
        try:
            sock.settimeout(seconds)
            sock.connect(address.address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            sock.close()
            raise
        return sock

    def _wrap(self, sock: socket.socket) -> socket.socket:
        if not self._tls:
            return sock
        import ssl  # noqa: PLC0415 - 4 MB of memory that only https needs

        if self._context is None:
            self._context = ssl.create_default_context(cafile=self._ca or system_bundle(os.environ))
            # which Python 3.13 sets: an office's own authority may sign without naming its key, as it could before
            self._context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            self._context.sslsocket_class = type(
                "TlsSocket", (_Deadline, ssl.SSLSocket), {"left": staticmethod(self.left)}
            )
        try:
            sock.settimeout(self.left())
            wrapped: socket.socket = self._context.wrap_socket(sock, server_hostname=self.host)
        except BaseException:
            sock.close()
            raise
        return wrapped


class _Deadline:
    """Bounds each read of a socket by what is left of the whole exchange, against an answer that drips."""

    left: Callable[[], float]

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """Read into a buffer as the socket does."""
        sock: Any = self
        sock.settimeout(self.left())
        count: int = super().recv_into(*args, **kwargs)  # type: ignore[misc]  # of the socket class mixed in behind
        return count


class _Socket(_Deadline, socket.socket):
    pass
