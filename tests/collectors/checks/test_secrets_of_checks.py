"""No secret ever reaches a Result, whatever fails and whatever the other side sends back."""

import asyncio
import base64

import msgspec
import pytest

from configs import redact

SECRET = "S4ngat+Rahasia/Sekali=="
FORMS = [SECRET, "S4ngat%2BRahasia%2FSekali%3D%3D", base64.b64encode(f"pantau:{SECRET}".encode()).decode().rstrip("=")]


async def _echo(reader, writer):
    head = await reader.readuntil(b"\r\n\r\n")
    path = head.split(b" ")[1]
    lines = [line for line in head.split(b"\r\n")[1:] if line]
    sent = b"|".join(line.partition(b": ")[2] for line in lines)
    answers = {
        b"/reason": b"HTTP/1.1 500 " + sent + b"\r\nContent-Length: 0\r\n\r\n",
        b"/location": b"HTTP/1.1 302 Found\r\nLocation: /loop?next="
        + sent.replace(b" ", b"_")
        + b"\r\nContent-Length: 0\r\n\r\n",
        b"/userinfo": b"HTTP/1.1 302 Found\r\nLocation: http://u:"
        + SECRET.encode().replace(b"/", b"%2F")
        + b"@127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"/ftp": b"HTTP/1.1 302 Found\r\nLocation: ftp://" + sent + b"\r\nContent-Length: 0\r\n\r\n",
        b"/coding": b"HTTP/1.1 200 OK\r\nContent-Encoding: " + sent + b"\r\nContent-Length: 0\r\n\r\n",
        b"/garbage": sent + b"\r\n\r\n",
        b"/header": b"HTTP/1.1 200 OK\r\n" + sent + b"\r\n\r\n",
        b"/chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + sent + b"\r\n",
        b"/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + sent,
        b"/ok": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    }
    writer.write(answers.get(path, b"HTTP/1.1 302 Found\r\nLocation: " + path + b"\r\nContent-Length: 0\r\n\r\n"))
    await writer.drain()
    if path not in {b"/cut", b"/header"}:
        await asyncio.wait_for(reader.read(), 2)


@pytest.mark.parametrize(
    "path",
    ["/reason", "/location", "/userinfo", "/ftp", "/coding", "/garbage", "/header", "/chunk", "/cut", "/ok"],
)
async def test_no_error_carries_a_secret(serving, run, monkeypatch, path):
    monkeypatch.setenv("UJI_SANDI", SECRET)
    place = {"env": "UJI_SANDI"}
    async with serving(_echo) as port:
        url = f"http://127.0.0.1:{port}{path}"
        for secrets in (
            {"basic_user": "pantau", "basic_password": place},
            {"bearer": place},
            {"secret_headers": {"X-Api-Key": place}},
        ):
            result = await run("http", timeout=2.0, url=url, redirects=3, body_present="tidak ada", **secrets)
            told = msgspec.json.encode(result).decode().replace("\\/", "/") + repr(result)
            assert result.status == "down"
            assert [form for form in FORMS if form in told] == []


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://u:p@a.example/x#y", "https://a.example/x"),
        ("https://a.example/?q=1&token=abc", "https://a.example/?q=1&token=***"),
        ("https://a.example/?X-Amz-Signature=abc&b=c%20d", "https://a.example/?X-Amz-Signature=***&b=c+d"),
        ("https://a.example/?q=puskesmas%20kota", "https://a.example/?q=puskesmas%20kota"),
        ("http://[::1", "***"),
    ],
)
def test_an_address_is_shown_without_what_looks_like_a_secret(address, shown):
    assert redact.url(address) == shown


def test_short_secrets_do_not_blot_out_ordinary_words():
    veil = redact.Veil()
    veil.add(["a", "sandi"])
    assert veil.over("kata sandi") == "kata ***"
