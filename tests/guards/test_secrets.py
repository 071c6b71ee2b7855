"""No plug-in shows its secret: every channel, check and store with a ``Secret`` among its options is tried, whatever it is.

The other side sends back what it was given, refuses it, cuts the line, or is not there; then errors with all that led to them,
results, logs and the plug-in itself are searched for the secret. A new plug-in is tried without a line here, unless it needs
an option that says where to go and has another name than those of ``_given``.
"""

import asyncio
import base64
import contextlib
import json
import traceback
from urllib.parse import quote

import msgspec
import pytest
from parts import free_port

from alerts.channels import CHANNELS, Message, Unreachable
from collectors.checks import CHECKS, Target
from collectors.point import Point
from configs.plugin import find
from configs.secret import Secret
from configs.units import Duration
from server.store import STORES

SECRET = "Sangat:Rahasia-Sekali_4"
USER = "pantau"
MESSAGE = Message("key", "thread", "problem", "Judul", "Isi", {"incident": 1})
FORMS = [
    SECRET,
    quote(SECRET, safe=""),
    *(
        base64.b64encode(text.encode()).decode().rstrip("=")
        for text in (SECRET, f"{USER}:{SECRET}", f"\0{USER}\0{SECRET}")
    ),
]
SIDES = ("http_400", "http_401", "http_500", "mail", "raw", "cut", "away")
PLUGINS = {
    f"{kind} {name}": (kind, *find(kind, name, known))
    for kind, known in (("channel", CHANNELS), ("check", CHECKS), ("store", STORES))
    for name in known
}


def holds_secret(kind):
    """Whether a type of msgspec's has a secret in it, however deep."""
    if getattr(kind, "cls", None) is Secret:
        return True
    fields = [field.type for field in getattr(kind, "fields", ())]
    return any(
        holds_secret(inner)
        for inner in (*fields, *getattr(kind, "types", ()), *getattr(kind, "item_types", ()), *_items(kind))
    )


def _items(kind):
    return [getattr(kind, name) for name in ("item_type", "value_type") if hasattr(kind, name)]


def secrets_of(options):
    return [field for field in msgspec.inspect.type_info(options).fields if holds_secret(field.type)]


CASES = {
    f"{name} {field.encode_name}": (*plugin, field)
    for name, plugin in PLUGINS.items()
    for field in secrets_of(plugin[2])
}


class OtherSide:
    """Listens on a port of its own and answers in its way; ``got`` is all that came."""

    def __init__(self, way):
        self.way, self.got = way, b""

    async def __aenter__(self):
        self.port = free_port()
        self.server = None
        if self.way != "away":
            self.server = await asyncio.start_server(self._talk, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_):
        if self.server:
            self.server.close()

    async def _talk(self, reader, writer):
        with contextlib.suppress(OSError):
            if self.way == "mail":
                await self._mail(reader, writer)
            else:
                # who waits for a greeting sends nothing
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.3):
                        self.got += await reader.read(65_536)
                if self.way != "cut":
                    writer.write(self._answer())
                    await writer.drain()
        writer.close()

    def _answer(self):
        sent = self.got.decode("latin-1")
        if self.way == "raw":
            return self.got
        text = {"ok": False, "description": sent, "message": sent, "error": sent, "version": sent}
        body = json.dumps(text).encode()
        head = sent.split("\r\n")[0].encode("latin-1")
        return b"HTTP/1.1 %s %s\r\nX-Influxdb-Version: 2.7.0\r\nX-Echo: %s\r\nContent-Length: %d\r\n\r\n%s" % (
            self.way[-3:].encode(),
            head,
            head,
            len(body),
            body,
        )

    async def _mail(self, reader, writer):
        writer.write(b"220 here ESMTP\r\n")
        while line := await reader.readline():
            self.got += line
            if line.upper().startswith(b"EHLO"):
                writer.write(b"250-here\r\n250 AUTH PLAIN\r\n")
            else:
                word = line.strip().rpartition(b" ")[2]
                with contextlib.suppress(ValueError):
                    line = line.strip() + b" " + base64.b64decode(word).replace(b"\0", b" ")
                writer.write(b"535 not you: " + line.strip() + b"\r\n")


def _given(options, field, port, secret):
    """Return options that lead to the other side, with one secret among them."""
    places = {
        "url": f"http://127.0.0.1:{port}/in",
        "api": f"http://127.0.0.1:{port}",
        "host": "127.0.0.1",
        "port": port,
        "sender": "pantau@kota.example",
        "security": "none",
        "timeout": Duration(30),
    }
    if "password" in field.name:
        places |= {"user": USER, "basic_user": USER}
    taken = {name: value for name, value in places.items() if name in options.__struct_fields__}
    whole = isinstance(field.type, msgspec.inspect.DictType)
    return options(**taken, **{field.name: {"X-Api-Key": secret} if whole else secret})


async def use(kind, plugin, options, folder):
    """Do with a plug-in what it is for; return what it shows by then."""
    if kind == "channel":
        made = plugin("uji", options)
        steps = [lambda: made.send("123", MESSAGE), made.close]
    elif kind == "check":
        made = plugin(Target("uji", "service/uji", 30.0), options)
        steps = [lambda: made.run(1)]
    else:
        made = plugin(options, folder)
        point = Point("uji", {"host": "a"}, {"value": 1.0}, 1_780_000_000_000_000_000)
        steps = [
            made.open,
            lambda: made.write([point]),
            lambda: made.latest("uji", ["value"], since=0),
            made.health,
            made.close,
        ]
    shown = [repr(options), str(options)]
    for step in steps:
        try:
            result = await step()
        except Exception as error:
            shown += [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)]
        else:
            shown += [str(result), repr(result)]
    return "\n".join([*shown, repr(made), str(made)])


def found_in(text):
    return [form for form in FORMS if form in text.replace("\\/", "/")]


@pytest.fixture
def secret(tmp_path):
    (tmp_path / "secret").write_text(SECRET + "\n")
    return Secret("file", str(tmp_path / "secret"))


async def leaks(case, way, secret, folder, caplog):
    """Return the forms of the secret that a plug-in showed, and what the other side got of it."""
    kind, plugin, options, field = case
    caplog.set_level(0)
    async with OtherSide(way) as side:
        shown = await use(kind, plugin, _given(options, field, side.port, secret), folder)
    return found_in(f"{shown}\n{caplog.text}"), side.got


@pytest.mark.parametrize("name", CASES)
async def test_no_plug_in_shows_its_secret(name, secret, tmp_path, caplog):
    came = b""
    for way in SIDES:
        (folder := tmp_path / way).mkdir()
        leaked, got = await leaks(CASES[name], way, secret, folder, caplog)
        assert leaked == [], (name, way)
        came += got
    assert came, "it was never tried: nothing reached the other side"
    if name != "channel webhook sign":  # of it only a signature travels
        assert found_in(came.decode("latin-1")), "it was never tried: the secret did not travel"


def test_the_plug_ins_with_secrets_are_all_there():
    assert set(CASES) >= {
        "channel email password",
        "channel telegram token",
        "channel webhook token",
        "check http bearer",
        "check http secret_headers",
        "store influx token",
    }


class Options(msgspec.Struct, frozen=True):
    """Settings of the channels below."""

    url: str
    token: Secret


class Leaking:
    """A channel of a newcomer; each kind of it lets the secret out in another way."""

    def __init__(self, name, options):
        self.options = options

    async def send(self, recipient, message):
        token = await asyncio.to_thread(self.options.token.reveal)
        self.leak(token)

    async def close(self):
        pass


class InItsError(Leaking):
    def leak(self, token):
        raise Unreachable(f"HTTP 401 from {self.options.url}/bot{token}")


class InTheCause(Leaking):
    def leak(self, token):
        try:
            raise OSError(f"POST /bot{token}")
        except OSError as error:
            raise Unreachable("no connection") from error


class InTheLog(Leaking):
    def leak(self, token):
        import logging

        logging.getLogger("pantau.alerts").debug("sending with %s", token)


class InItself(Leaking):
    def leak(self, token):
        self.token = token

    def __repr__(self):
        return f"<InItself {vars(self)}>"


class AsAHeader(Leaking):
    def leak(self, token):
        raise Unreachable(f"Authorization: Basic {base64.b64encode(f'{USER}:{token}'.encode()).decode()}")


@pytest.mark.parametrize("channel", [InItsError, InTheCause, InTheLog, InItself, AsAHeader])
async def test_a_channel_that_leaks_is_caught(channel, secret, tmp_path, caplog):
    (field,) = secrets_of(Options)
    leaked, _ = await leaks(("channel", channel, Options, field), "away", secret, tmp_path, caplog)
    assert leaked != []
