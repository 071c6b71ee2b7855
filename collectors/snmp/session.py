"""Session: what the poller asks of an SNMP engine, the settings of one device, and the ways in which a device does not answer."""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Protocol

import msgspec
from msgspec import Meta

from collectors.result import Reason, Status
from configs.secret import Secret
from configs.units import USUAL_FLAPPING, Duration, Flapping

Value = int | float | str | bytes
"""What an object holds: numbers and TimeTicks as int, OCTET STRING as bytes, OBJECT IDENTIFIER and IpAddress as str."""

Auth = Literal["MD5", "SHA", "SHA224", "SHA256", "SHA384", "SHA512"]
Priv = Literal["DES", "AES", "AES192", "AES256", "AES192C", "AES256C"]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ``[[snmp.device]]``.

    ``address`` is a name or an address; version "2c" wants ``community``, version "3" a ``user``, with ``auth`` and
    ``auth_key``, and ``priv`` and ``priv_key``, as the device has them (a C at the end is Cisco's way to stretch the key).
    ``timeout`` is for one request, which is sent again ``retries`` times; a poll ends after four fifths of ``interval``.
    ``flapping`` is ``[4, "30m"]`` when 4 changes within 30 minutes are shown as such.
    """

    id: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=100)]
    address: str
    name: str = ""
    agency: str = ""
    port: Annotated[int, Meta(ge=1, le=65535)] = 161
    version: Literal["2c", "3"] = "2c"
    community: Secret | None = None
    user: str = ""
    auth: Auth | None = None
    auth_key: Secret | None = None
    priv: Priv | None = None
    priv_key: Secret | None = None
    interval: Duration = Duration(60)
    timeout: Duration = Duration(2)
    retries: Annotated[int, Meta(ge=0, le=10)] = 1
    flapping: Flapping = USUAL_FLAPPING

    def __post_init__(self) -> None:
        """ValueError when the credentials do not fit the version."""
        if wrong := self._wrong():
            raise ValueError(wrong)

    def _wrong(self) -> str:
        if self.version == "2c":
            if self.community is None:
                return 'version "2c" needs community'
            return "user, auth and priv are of version 3" if self.user or self.auth or self.priv else ""
        if not self.user:
            return 'version "3" needs user'
        if (self.auth is None) != (self.auth_key is None) or (self.priv is None) != (self.priv_key is None):
            return "auth goes with auth_key, and priv with priv_key"
        return "priv needs auth" if self.priv and not self.auth else ""


class Credentials(msgspec.Struct, frozen=True):
    """The secrets of one device as they are now; not to be kept or printed."""

    community: str = ""
    auth_key: str = ""
    priv_key: str = ""

    def __repr__(self) -> str:
        """Hide the values."""
        return "<Credentials>"


def reveal(options: Options) -> Credentials:
    """Read the secrets of a device from their places (files: not on a loop); SecretUnreadable says which one is missing."""
    keys = [secret.reveal() if secret else "" for secret in (options.community, options.auth_key, options.priv_key)]
    return Credentials(*keys)


class Trouble(Exception):
    """A device could not be read; the class says what that means for it, the text is one line for the sysadmin."""

    status: ClassVar[Status] = Status.DOWN
    reason: ClassVar[Reason]


class Silent(Trouble):
    """The device did not answer in time."""

    reason = Reason.SNMP_SILENT


class Closed(Trouble):
    """The device lives, but nothing there listens for SNMP."""

    reason = Reason.SNMP_SILENT


class Unreachable(Trouble):
    """The network says that there is no way to the device."""

    reason = Reason.UNREACHABLE


class Nameless(Trouble):
    """DNS does not know the device's name."""

    reason = Reason.NAME_NOT_FOUND


class Unresolved(Trouble):
    """DNS could not be asked for the device's name."""

    reason = Reason.RESOLVER_FAILED


class Denied(Trouble):
    """The device answers, but not to this user with these keys."""

    reason = Reason.SNMP_AUTH


class Garbled(Trouble):
    """The device answered what is no SNMP, or what the engine cannot read."""

    reason = Reason.PROTOCOL


class Hindered(Trouble):
    """This side could not ask; never held against the device."""

    status = Status.UNKNOWN
    reason = Reason.BUG


class Walked(msgspec.Struct, frozen=True):
    """One column: index (what follows the column's OID) -> value; ``whole`` is false when the device did not come to an end."""

    rows: Mapping[str, Value]
    whole: bool = True


class Session(Protocol):
    """Asks one device, one request at a time. All calls raise Trouble. Missing objects are left out."""

    async def open(self) -> None:
        """Get ready to ask: for version 3, learn the engine's id, boots and time; done before each poll."""
        ...

    async def get(self, oids: Sequence[str]) -> dict[str, Value]:
        """Read scalars."""
        ...

    async def walk(self, column: str) -> Walked:
        """Read one column of a table, and remember how much of it the device can answer at once."""
        ...


class Connect(Protocol):
    """Makes a session with a numeric address; opens a socket, sends nothing. The socket goes with the session."""

    def __call__(self, options: Options, address: str, credentials: Credentials) -> Session:
        """Make it; Hindered when this machine cannot."""
        ...
