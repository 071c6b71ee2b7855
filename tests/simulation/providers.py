"""The other side of a channel: it remembers what arrived, through every kill of the centre, and behaves as its moods are."""

import asyncio

import msgspec

from alerts.channels import Refused, Unreachable

IN_FLIGHT = 5.0  # seconds until its answer is known to the centre


class Arrival(msgspec.Struct, frozen=True):
    """One message that a person has: ``at`` is in seconds of the city, ``thread`` names its incident."""

    at: float
    channel: str
    recipient: str
    key: str
    thread: str
    kind: str
    repeated: bool


class Provider:
    """Takes messages for people. ``mood()`` is "well" or one of ``script.MOODS``; one that is ``keyed`` takes each key once."""

    def __init__(self, name, *, keyed, mood, now, chance):
        self.name = name
        self.keyed = keyed
        self._mood = mood
        self._now = now
        self._chance = chance
        self.arrived = []
        self.refused = set()  # recipients who were refused once
        self.hurried = []  # when it asked for patience, until when, and when it was asked again all the same
        self._patience = 0.0, 0.0
        self._keys = set()

    async def take(self, recipient, message):
        """Answer as a provider does, some time later."""
        mood, begun = self._mood(), self._now()
        asked, until = self._patience
        if asked < begun < until - 1:
            self.hurried.append((asked, until, begun))
        await asyncio.sleep(self._chance() * 0.4)
        if mood == "refuses connections":
            raise Unreachable("made: connection refused")
        if mood == "asks for patience":
            seconds = 30 + self._chance() * 600
            self._patience = self._now() + IN_FLIGHT, self._now() + seconds
            raise Unreachable("made: 429", retry_after=seconds)
        if mood == "fails":
            raise Unreachable("made: 500")
        if mood == "refuses":
            self.refused.add(recipient)
            raise Refused("made: no such recipient")
        self._arrive(recipient, message)
        if mood == "takes it, then hangs up":
            raise Unreachable("made: connection lost", accepted=True)
        await asyncio.sleep(3600 if mood == "takes it, then is silent" else self._chance() * 0.4)
        return f"{self.name}-{len(self.arrived)}"

    def _arrive(self, recipient, message):
        if self.keyed and (recipient, message.key) in self._keys:
            return
        self._keys.add((recipient, message.key))
        self.arrived.append(
            Arrival(
                at=self._now(),
                channel=self.name,
                recipient=recipient,
                key=message.key,
                thread=message.thread,
                kind=message.kind,
                repeated=message.facts["repeated"] is True,
            )
        )


class MadeChannel:
    """The product's end of a channel, built anew at each start and reload; it belongs to a ``Provider``."""

    def __init__(self, provider):
        self._provider = provider

    async def send(self, recipient, message):
        return await self._provider.take(recipient, message)

    async def close(self):
        """It holds nothing."""
