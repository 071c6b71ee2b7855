"""Channels that carry a message to a person or a program: one file each, imported only when configured."""

from typing import Final, Protocol

import msgspec


class Unreachable(Exception):
    """Try again later. ``accepted`` is True when the other side may have taken the message (the answer was lost)."""

    def __init__(self, why: str, *, retry_after: float | None = None, accepted: bool = False) -> None:
        super().__init__(why)
        self.retry_after = retry_after
        self.accepted = accepted


class Refused(Exception):
    """Never: the other side said no for good (wrong token, unknown recipient). The message must not hold a secret."""


class Message(msgspec.Struct, frozen=True):
    """One message, rendered: ``key`` is its idempotency key, ``thread`` the same for all messages of one incident."""

    key: str
    thread: str
    kind: str
    title: str
    text: str
    facts: dict[str, str | int | float | bool | None]


class Channel(Protocol):
    """Carries messages one way. Built with ``(name: str, options: Options)``; building never touches the network."""

    async def send(self, recipient: str, message: Message) -> str:
        """Send once, within the channel's own timeout; return the other side's message id, or "".

        Raises Unreachable (the courier tries again) or Refused (it does not); nothing else unless there is a bug.
        """
        ...

    async def close(self) -> None:
        """Let go of connections; sending afterwards is a bug."""
        ...


CHANNELS: Final[dict[str, str]] = {
    "email": "alerts.channels.email:Email",
    "webhook": "alerts.channels.webhook:Webhook",
    "telegram": "alerts.channels.telegram:Telegram",
}
