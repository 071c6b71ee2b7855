"""Webhook and Telegram against real HTTP servers that behave well and badly."""

import asyncio
import hashlib
import hmac
import json
from html.parser import HTMLParser

import pytest
from aiohttp import web
from parts import free_port

from alerts.channels import Message, Refused, Unreachable, telegram, webhook
from alerts.channels.telegram import Telegram
from alerts.channels.webhook import Webhook
from configs.secret import Secret
from configs.units import Duration

MESSAGE = Message(
    "key-1", "incident-1", "problem", "🔴 SIMPUS <padam>", "Sebab: a < b & c_d\nbaris dua", {"incident": 1}
)
TOKEN = "123:made-up-token"


class Fake:
    """An HTTP server: answers as ordered, keeps what it got."""

    def __init__(self):
        self.got, self.orders = [], []

    async def handle(self, request):
        body = await request.read()
        self.got.append((request.path, dict(request.headers), body))
        order = self.orders.pop(0) if self.orders else (200, {"ok": True, "result": {"message_id": 7}})
        if callable(order):
            return await order(request)
        status, answer, *headers = order
        return web.json_response(answer, status=status, headers=headers[0] if headers else None)


@pytest.fixture
async def server():
    fake = Fake()
    app = web.Application()
    app.router.add_post("/{tail:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    fake.url = f"http://127.0.0.1:{port}"
    yield fake
    await runner.cleanup()


@pytest.fixture
def token(tmp_path):
    (tmp_path / "token").write_text(TOKEN + "\n")
    return Secret("file", str(tmp_path / "token"))


@pytest.fixture
def patience(request):
    """The timeout of the channels: short where an answer never comes, else one that a busy machine does not reach."""
    return Duration(1 if "hang" in request.node.name else 30)


@pytest.fixture
async def hook(server, token, patience):
    channel = Webhook("hook", webhook.Options(url=server.url + "/in", token=token, sign=token, timeout=patience))
    yield channel
    await channel.close()


@pytest.fixture
async def bot(server, token, patience):
    channel = Telegram("bot", telegram.Options(token=token, api=server.url, timeout=patience))
    yield channel
    await channel.close()


async def hang(_request):
    await asyncio.sleep(60)
    return web.Response()


async def cut(request):
    request.transport.close()
    return web.Response()


async def outcome(channel, recipient="-100123"):
    """Send and return (class of outcome, error or None)."""
    try:
        await channel.send(recipient, MESSAGE)
    except Unreachable as error:
        return ("uncertain" if error.accepted else "transient"), error
    except Refused as error:
        return "permanent", error
    return "delivered", None


async def test_a_webhook_gets_facts_key_token_and_signature(server, hook):
    assert await hook.send("noc", MESSAGE) == ""
    [(path, headers, body)] = server.got
    assert path == "/in"
    assert headers["Idempotency-Key"] == "key-1"
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    expected = hmac.new(TOKEN.encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-Pantau-Signature"] == f"sha256={expected}"
    assert json.loads(body) == {
        "key": "key-1",
        "thread": "incident-1",
        "kind": "problem",
        "title": MESSAGE.title,
        "text": MESSAGE.text,
        "facts": {"incident": 1},
        "recipient": "noc",
    }


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, "delivered"),
        (202, "delivered"),
        (204, "delivered"),
        (302, "permanent"),
        (400, "permanent"),
        (401, "permanent"),
        (404, "permanent"),
        (408, "transient"),
        (429, "transient"),
        (500, "transient"),
        (503, "transient"),
    ],
)
async def test_only_2xx_means_that_a_webhook_took_it(server, hook, status, expected):
    server.orders = [(status, {}, {"Location": "/elsewhere"})]
    assert (await outcome(hook))[0] == expected
    assert len(server.got) == 1


async def test_a_webhook_may_ask_for_time(server, hook):
    server.orders = [(503, {}, {"Retry-After": "120"}), (503, {}, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"})]
    assert (await outcome(hook))[1].retry_after == 120
    assert (await outcome(hook))[1].retry_after is None


@pytest.mark.parametrize("channel", ["hook", "bot"])
@pytest.mark.parametrize("order", [hang, cut])
async def test_an_answer_that_is_lost_leaves_it_open_whether_it_was_taken(server, channel, order, hook, bot):
    server.orders = [order]
    assert (await outcome({"hook": hook, "bot": bot}[channel]))[0] == "uncertain"


@pytest.mark.parametrize("kind", [Webhook, Telegram])
async def test_nobody_at_the_address_means_that_nothing_was_taken(kind, token):
    url = f"http://127.0.0.1:{free_port()}"
    options = webhook.Options(url=url) if kind is Webhook else telegram.Options(token=token, api=url)
    channel = kind("x", options)
    assert (await outcome(channel))[0] == "transient"
    await channel.close()


class Parsed(HTMLParser):
    """What a reader sees of Telegram's HTML, and the tags in it."""

    def __init__(self, text):
        super().__init__()
        self.text, self.tags = "", []
        self.feed(text)
        self.close()

    def handle_data(self, data):
        self.text += data

    def handle_starttag(self, tag, _attributes):
        self.tags.append(tag)


async def test_telegram_gets_escaped_html(server, bot):
    assert await bot.send("-100123/42", MESSAGE) == "7"
    [(path, _, body)] = server.got
    sent = json.loads(body)
    assert path == f"/bot{TOKEN}/sendMessage"
    assert (sent["chat_id"], sent["message_thread_id"], sent["parse_mode"]) == ("-100123", 42, "HTML")
    parsed = Parsed(sent["text"])
    assert parsed.text == f"{MESSAGE.title}\n\n{MESSAGE.text}"
    assert parsed.tags == ["b"]


@pytest.mark.parametrize("text", ["&<>" * 3000, "🔴" * 5000, "x" * 4096])
async def test_telegram_gets_no_more_than_it_takes_and_no_torn_entity(server, bot, text):
    await bot.send("1", Message("k", "t", "problem", "judul <1>", text, {}))
    parsed = Parsed(json.loads(server.got[0][2])["text"])
    assert len(parsed.text.encode("utf-16-le")) // 2 <= 4096
    assert parsed.text.startswith("judul <1>\n\n" + text[:100])
    assert parsed.text.endswith("…")
    assert parsed.tags == ["b"]


async def test_telegram_that_cannot_read_html_gets_plain_text_once(server, bot):
    server.orders = [(400, {"ok": False, "description": "Bad Request: can't parse entities: x"})]
    assert await bot.send("1", MESSAGE) == "7"
    plain = json.loads(server.got[1][2])
    assert "parse_mode" not in plain
    assert plain["text"] == f"{MESSAGE.title}\n\n{MESSAGE.text}"


async def test_telegram_is_followed_to_where_a_group_moved(server, bot):
    moved = {
        "ok": False,
        "description": "Bad Request: group chat was upgraded",
        "parameters": {"migrate_to_chat_id": -1009},
    }
    server.orders = [(400, moved)]
    assert await bot.send("-5", MESSAGE) == "7"
    await bot.send("-5", MESSAGE)
    assert [json.loads(body)["chat_id"] for _, _, body in server.got] == ["-5", "-1009", "-1009"]


async def test_telegram_asks_for_time_in_its_own_way(server, bot):
    server.orders = [(429, {"ok": False, "description": "Too Many Requests", "parameters": {"retry_after": 17}})]
    kind, error = await outcome(bot)
    assert (kind, error.retry_after) == ("transient", 17)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, "permanent"), (401, "permanent"), (403, "permanent"), (404, "permanent"), (502, "transient")],
)
async def test_telegram_errors_are_sorted(server, bot, status, expected):
    server.orders = [(status, {"ok": False, "description": "Forbidden: bot was blocked by the user"})]
    kind, error = await outcome(bot)
    assert kind == expected
    assert "blocked by the user" in str(error)


async def test_an_answer_that_is_not_telegrams_is_no_success(server, bot):
    server.orders = [(200, {"captive": "portal"})]
    assert (await outcome(bot))[0] == "transient"


async def test_a_token_that_cannot_be_read_is_tried_again(server, tmp_path):
    missing = Secret("file", str(tmp_path / "missing"))
    for channel in (
        Telegram("bot", telegram.Options(token=missing, api=server.url)),
        Webhook("hook", webhook.Options(url=server.url, token=missing)),
    ):
        assert (await outcome(channel))[0] == "transient"
        await channel.close()
    assert server.got == []


async def test_a_proxy_is_used_when_it_is_written(server, token):
    channel = Webhook("hook", webhook.Options(url="http://hook.invalid/in", proxy=server.url, timeout=Duration(30)))
    assert (await outcome(channel))[0] == "delivered"
    await channel.close()
    assert server.got[0][1]["Host"] == "hook.invalid"


ORDERS = {
    "refused": (401, {"ok": False, "description": "Unauthorized"}),
    "failed": (502, {}),
    "hangs": hang,
    "cuts": cut,
    "echo": (400, {"ok": False, "description": f"bad token {TOKEN} in /bot{TOKEN}/sendMessage"}),
}


@pytest.mark.parametrize("order", [*ORDERS, "away", "no_name", "no_url"])
@pytest.mark.parametrize("kind", ["bot", "hook"])
async def test_no_error_and_no_log_line_holds_the_token(kind, order, server, token, patience, caplog):
    caplog.set_level(0)
    url = {
        "away": f"http://127.0.0.1:{free_port()}",
        "no_name": "http://nama.invalid",
        "no_url": "http://127.0.0.1:99999999",
    }.get(order, server.url)
    server.orders = [ORDERS[order]] if order in ORDERS else []
    options = (
        telegram.Options(token=token, api=url, timeout=patience)
        if kind == "bot"
        else webhook.Options(url=url, token=token, sign=token, timeout=patience)
    )
    channel = Telegram("x", options) if kind == "bot" else Webhook("x", options)
    told, error = await outcome(channel)
    await channel.close()
    assert told != "delivered"
    shown = f"{error} {error!r} {error.__cause__!r} {caplog.text} {channel!r} {options!r}"
    assert TOKEN not in shown
    assert "made-up" not in shown
