"""The settings of a made city: written as TOML and read as the centre reads them, then given made checks."""

import tempfile
from functools import cache
from pathlib import Path

from msgspec.structs import replace

from server import settings

PEOPLE = ("kadis", "piket")  # the second one comes and goes
OWN = 60.0  # seconds between looks of the centre at itself
RULE = 60.0  # seconds between looks of rules
WINDOW = 120.0  # seconds of silence after which a host is down
STALE = 300.0  # seconds after which a value of a host says nothing any more
UNSTABLE = (5, 10)  # of ten looks at a service
HOLD = 300.0  # seconds that a disk must be full before it is believed


class Chosen:
    """What settings say now; ``text`` is the file. ``change`` does one of ``script.CHANGES``."""

    def __init__(self, place):
        self._place = place
        self._services = dict(place.services)
        self._channels = {name: name for name in place.channels}  # provider -> its name in the settings
        self._extra = False
        self._apart = False  # whether each rule of the disk stands for itself
        self._gone = ""

    @property
    def services(self):
        """The services that are watched: id -> seconds between looks, looks to confirm, looks to recover."""
        return {name: terms for name, terms in self._services.items() if name != self._gone}

    @property
    def channels(self):
        """The name of each provider's channel."""
        return dict(self._channels)

    def change(self, how, dice):
        name = dice.choice(sorted(self._services))
        interval, confirm, recover = self._services[name]
        if how == "interval":
            self._services[name] = (90.0 if interval == 60 else 60.0, confirm, recover)
        elif how == "contact":
            self._extra = not self._extra
        elif how == "family":
            self._apart = not self._apart
        elif how == "channel":
            provider = dice.choice(sorted(self._channels))
            self._channels[provider] = provider if self._channels[provider] != provider else f"{provider}-2"
        else:
            self._gone = "" if self._gone else name

    @property
    def text(self):
        parts = ['[server]\nregister = "services.toml"\n']
        for name, (interval, confirm, recover) in self.services.items():
            parts.append(
                f'[[check]]\nid = "{name}"\nservice = "{name}"\ntype = "tcp"\nhost = "{name}.test"\nport = 80\n'
                f'interval = "{interval:.0f}s"\ntimeout = "10s"\nconfirm = {confirm}\nrecover = {recover}\n'
            )
        parts.append(
            f'[[rule]]\nid = "silent"\ntype = "absence"\nwindow = "{WINDOW:.0f}s"\ninterval = "{RULE:.0f}s"\nhosts = '
            f"{list(self._place.hosts)}\n"
        )
        parts += [
            f'[[rule]]\nid = "{name}"\nmeasurement = "disk"\nfield = "used_percent"\nabove = {above}\nstatus = "{status}"\n'
            f'for = "{HOLD:.0f}s"\nwindow = "{STALE:.0f}s"\ninterval = "{RULE:.0f}s"\n'
            + ("" if self._apart else 'family = "disk"\n')
            for name, above, status in (("full", 90, "degraded"), ("overfull", 97, "down"))
        ]
        parts += [
            f'[[channel]]\nname = "{name}"\ntype = "webhook"\nurl = "http://127.0.0.1:9/"\n'
            for name in self._channels.values()
        ]
        for person in PEOPLE if self._extra else PEOPLE[:1]:
            via = ", ".join(f'{{ channel = "{name}", to = "{person}" }}' for name in self._channels.values())
            parts.append(f'[[contact]]\nid = "{person}"\nchannels = [{via}]\n')
        return "\n".join(parts)

    @property
    def register(self):
        agency = '[[agency]]\nid = "kominfo"\nname = "Kominfo"\n'
        names = sorted(self._place.services)
        return agency + "".join(
            f'[[service]]\nid = "{name}"\nname = "{name}"\nagency = "kominfo"\ncriticality = {(5, 3, 1)[number % 3]}\n'
            for number, name in enumerate(names)
        )


def read(chosen, build):
    """Return what the settings say, their checks made by ``build(id)``."""
    got = _read(chosen.text, chosen.register)
    for name, planned in got.watched.checks.items():
        policy = replace(planned.policy, unstable=UNSTABLE)
        got.watched.checks[name] = replace(planned, policy=policy, build=lambda name=name: build(name))
        got.watched._policies[name] = policy
    return got


@cache
def _folder():
    return tempfile.TemporaryDirectory(prefix="pantau-city-")


@cache
def _read(text, register):
    folder = Path(_folder().name)
    (folder / "services.toml").write_text(register, encoding="utf-8")
    (folder / "server.toml").write_text(text, encoding="utf-8")
    return settings.read(folder / "server.toml", own_interval=OWN)
