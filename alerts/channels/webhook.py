"""Webhook: each message as one JSON object, posted to a program.

Body: ``{"key", "thread", "kind", "title", "text", "recipient", "facts": {...}}``; the keys of ``facts`` stand at
``alerts.message.render``. ``Idempotency-Key`` is ``key``: the same message sent again has the same one. With ``sign``,
``X-Pantau-Signature`` is ``sha256=`` and the hex HMAC-SHA256 of the body.
"""

import asyncio
import hashlib
import hmac
from typing import Annotated, Final

import msgspec

from alerts.channels import Message, Refused, Unreachable
from alerts.channels.post import Poster
from configs.secret import Secret, SecretUnreadable
from configs.units import Duration

_OK: Final = range(200, 300)
_TRY_AGAIN: Final = frozenset({408, 425, 429})


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of a webhook; ``token`` is sent as a bearer token, ``sign`` is the key of the signature; ``proxy`` is an HTTP proxy."""

    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^/]")]
    token: Secret | None = None
    sign: Secret | None = None
    proxy: Annotated[str, msgspec.Meta(pattern=r"^(https?://[^@]+)?$")] = ""
    timeout: Duration = Duration(10)


class Webhook:
    """Posts messages; only 2xx means that one was taken."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self._options = options
        self._poster = Poster(options.timeout, options.proxy)

    async def send(self, recipient: str, message: Message) -> str:
        """Post once; there is no message id."""
        body = msgspec.json.encode({**msgspec.structs.asdict(message), "recipient": recipient})
        try:
            headers = await asyncio.to_thread(self._headers, message.key, body)
        except SecretUnreadable as error:
            raise Unreachable(str(error)) from error
        reply = await self._poster.post(self._options.url, body, headers)
        if reply.status in _OK:
            return ""
        if reply.status in _TRY_AGAIN or reply.status >= 500:  # noqa: PLR2004 - HTTP's server errors
            raise Unreachable(f"HTTP status {reply.status}", retry_after=reply.retry_after)
        raise Refused(f"HTTP status {reply.status}")

    async def close(self) -> None:
        """Let go of the connections."""
        await self._poster.close()

    def _headers(self, key: str, body: bytes) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Idempotency-Key": key, "User-Agent": "pantau"}
        if self._options.token is not None:
            headers["Authorization"] = f"Bearer {self._options.token.reveal()}"
        if self._options.sign is not None:
            digest = hmac.new(self._options.sign.reveal().encode(), body, hashlib.sha256).hexdigest()
            headers["X-Pantau-Signature"] = f"sha256={digest}"
        return headers
