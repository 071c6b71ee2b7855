"""One HTTP POST for the channels that speak HTTP, its failures told in the two errors of a channel. The only door to aiohttp here.

No error names the address: for some channels it holds a secret.
"""

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
import msgspec

from alerts.channels import Unreachable

_MAX_REPLY: Final = 65_536


class Reply(msgspec.Struct, frozen=True):
    """What the other side answered; ``body`` is the parsed JSON when it is an object, else empty."""

    status: int
    body: Mapping[str, Any]
    retry_after: float | None


class Poster:
    """Posts within ``timeout`` seconds in all, through ``proxy`` when there is one; redirects are not followed."""

    def __init__(self, timeout: float, proxy: str = "") -> None:
        self._timeout = timeout
        self._proxy = proxy or None
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Post once; Unreachable when no answer came, ``accepted`` when the request had been sent by then."""
        sent = SimpleNamespace(headers=False)
        try:
            async with self._open().post(
                url, data=body, headers=headers, allow_redirects=False, proxy=self._proxy, trace_request_ctx=sent
            ) as response:
                text = await response.content.read(_MAX_REPLY)
                return Reply(response.status, _json(text), _seconds(response.headers.get("Retry-After")))
        except aiohttp.InvalidURL:
            raise Unreachable("the address in the settings is not a URL") from None
        except aiohttp.ClientConnectorDNSError:
            raise Unreachable("the name of the server was not found") from None
        except aiohttp.ClientConnectorCertificateError:
            raise Unreachable("the certificate of the server is not trusted") from None
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(f"no connection: {error.os_error.strerror or type(error.os_error).__name__}") from None
        except TimeoutError:
            raise Unreachable(f"no answer within {self._timeout:g} s", accepted=sent.headers) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"connection lost: {type(error).__name__}", accepted=sent.headers) from None

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            tracing = aiohttp.TraceConfig()
            tracing.on_request_headers_sent.append(_note_sent)
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                trace_configs=[tracing],
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


async def _note_sent(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    context.trace_request_ctx.headers = True


def _json(text: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(text)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _seconds(header: str | None) -> float | None:
    """Read Retry-After in seconds; its form as a date is rare enough to leave to the back-off."""
    return float(header) if header is not None and header.isdecimal() else None
