"""Telegram: messages by a bot, through ``sendMessage`` of the Bot API (https://core.telegram.org/bots/api#sendmessage).

Telegram knows no idempotency key: a message whose answer was lost may arrive twice, and then says so.
"""

import asyncio
import html
import logging
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec.structs import replace

from alerts.channels import Message, Refused, Unreachable
from alerts.channels.post import Poster, Reply
from alerts.i18n.shorten import shortened
from configs.secret import Secret, SecretUnreadable
from configs.units import Duration

_log: Final = logging.getLogger("pantau.alerts")

_SAID: Final = 200  # of the answer of Telegram
_LIMIT: Final = 4096  # UTF-16 units after the entities were parsed
_OK: Final = 200
_TOO_MANY: Final = 429
_BAD_REQUEST: Final = 400


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of a bot: its token, and where the Bot API is (another address for one's own Bot API server); ``proxy`` is an HTTP proxy."""

    token: Secret
    api: Annotated[str, msgspec.Meta(pattern=r"^https?://[^/]")] = "https://api.telegram.org"
    proxy: Annotated[str, msgspec.Meta(pattern=r"^(https?://[^@]+)?$")] = ""
    timeout: Duration = Duration(15)


class Telegram:
    """Sends as a bot; a recipient is a chat id or ``@channelname``, with ``/TOPIC`` for a topic of a group."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self._options = options
        self._poster = Poster(options.timeout, options.proxy)
        self._moved: dict[str, str] = {}

    async def send(self, recipient: str, message: Message) -> str:
        """Send once, as HTML; as plain text when Telegram cannot read that, and to where a group has moved."""
        chat, _, topic = recipient.partition("/")
        chat = self._moved.get(chat, chat)
        reply = await self._call(chat, topic, _as_html(message))
        if reply.status == _BAD_REQUEST and "can't parse entities" in _said(reply):
            reply = await self._call(chat, topic, _as_plain(message))
        moved = reply.body.get("parameters", {}).get("migrate_to_chat_id")
        if reply.status == _BAD_REQUEST and moved is not None:
            _log.warning("telegram: group %s has become %s; change it in the settings", chat, moved)
            self._moved[chat] = str(moved)
            reply = await self._call(str(moved), topic, _as_html(message))
        return _message_id(reply)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._poster.close()

    async def _call(self, chat: str, topic: str, content: Mapping[str, str]) -> Reply:
        try:
            token = await asyncio.to_thread(self._options.token.reveal)
        except SecretUnreadable as error:
            raise Unreachable(str(error)) from error
        body: dict[str, Any] = {"chat_id": chat, "link_preview_options": {"is_disabled": True}, **content}
        if topic:
            body["message_thread_id"] = int(topic) if topic.isdecimal() else topic
        url = f"{self._options.api.rstrip('/')}/bot{token}/sendMessage"
        reply = await self._poster.post(url, msgspec.json.encode(body), {"Content-Type": "application/json"})
        said = str(reply.body.get("description", "")).replace(token, "(token)")
        return replace(reply, body={**reply.body, "description": said})


def _message_id(reply: Reply) -> str:
    if reply.status == _OK and reply.body.get("ok") is True:
        return str(reply.body.get("result", {}).get("message_id", ""))
    what = f"Telegram answered {reply.status} {_said(reply)}".rstrip()
    if reply.status == _TOO_MANY:
        asked = reply.body.get("parameters", {}).get("retry_after", reply.retry_after)
        raise Unreachable(what, retry_after=None if asked is None else float(asked))
    if reply.status >= 500 or reply.status == _OK:  # noqa: PLR2004 - HTTP's server errors, or an answer that is not Telegram's
        raise Unreachable(what)
    raise Refused(what)


def _said(reply: Reply) -> str:
    return shortened(str(reply.body.get("description", "")), _SAID)


def _as_html(message: Message) -> dict[str, str]:
    # before it is escaped, so that no entity is torn
    text = shortened(message.text, _LIMIT - _units(message.title) - 2)
    escaped = html.escape(text, quote=False)
    return {"text": f"<b>{html.escape(message.title, quote=False)}</b>\n\n{escaped}", "parse_mode": "HTML"}


def _as_plain(message: Message) -> dict[str, str]:
    return {"text": shortened(f"{message.title}\n\n{message.text}", _LIMIT)}


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
