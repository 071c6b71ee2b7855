"""The example site: real nginx with TLS in front of a real centre, as the file says it."""

import http.client
import json
import re
import sqlite3
import ssl
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
from parts import daemon, free_port, nginx, require

SITE = Path(__file__).parents[2] / "configs/nginx/pantau.conf"
NAME = "pantau.kota.example"
VISITOR = "127.0.0.2"
SETTINGS = """
[server]
listen = "127.0.0.1:{port}"
data = "data"
public_url = "https://pantau.kota.example"
trusted_proxies = ["127.0.0.1"]

[ingest]
tokens = [{{ name = "agent", token = {{ file = "token" }} }}]
"""
pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.may_block]


def pantau(folder, *words, **more):
    command = [sys.executable, "-m", "server.cli.main", *words, "--settings", folder / "server.toml"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=100, **more)


class Front:
    """nginx before the centre, asked from an address that is not the proxy's."""

    def __init__(self, folder, http_port, https_port):
        self.folder, self.http, self.https = folder, http_port, https_port
        self.tls = ssl.create_default_context(cafile=folder / "cert.pem")
        self.tls.check_hostname = False

    def connect(self):
        return http.client.HTTPSConnection(
            "127.0.0.1", self.https, context=self.tls, source_address=(VISITOR, 0), timeout=60
        )

    def ask(self, method, path, body=None, **headers):
        connection = self.connect()
        connection.request(
            method, path, body, {"Host": NAME, **{name.replace("_", "-"): value for name, value in headers.items()}}
        )
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer, text

    def login(self, password, **headers):
        answer, _ = self.ask("GET", "/login")
        name, value = re.match(r"([^=]+)=([^;]*)", answer.headers["Set-Cookie"]).groups()
        form = urllib.parse.urlencode({"name": "kepala", "password": password, "csrf": value, "next": "/"})
        return self.ask(
            "POST",
            "/login",
            form,
            Cookie=f"{name}={value}",
            Content_Type="application/x-www-form-urlencoded",
            **headers,
        )[0]


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    folder = tmp_path_factory.mktemp("front")
    openssl = require("openssl", "openssl")
    require("nginx", "nginx-light")
    made = ["-days", "2", "-nodes", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    command = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-keyout",
        folder / "key.pem",
        "-out",
        folder / "cert.pem",
        *made,
    ]
    subprocess.run(command, check=True, capture_output=True)
    port, plain, tls = free_port(), free_port(), free_port()
    (folder / "server.toml").write_text(SETTINGS.format(port=port))
    (folder / "services.toml").write_text('[[agency]]\nid = "kominfo"\nname = "Dinas Kominfo"\n')
    (folder / "token").write_text("made-up\n")
    pantau(folder, "user", "add", "kepala", "--role", "admin", "--password-stdin", input="made-up-word-1\n")
    text = SITE.read_text()
    for said, here in (
        ("server 127.0.0.1:8420;", f"server 127.0.0.1:{port};"),
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{tls} ssl;"),
        ("    listen [::]:80;\n", ""),
        ("    listen [::]:443 ssl;\n", ""),
        ("/etc/ssl/pantau/fullchain.pem", f"{folder}/cert.pem"),
        ("/etc/ssl/pantau/privkey.pem", f"{folder}/key.pem"),
    ):
        assert text.count(said) == 1, said
        text = text.replace(said, here)
    centre = [sys.executable, "-m", "server.cli.main", "server", "--settings", folder / "server.toml"]
    with daemon(centre, port=port, log=folder / "centre.log", seconds=60), nginx(folder / "nginx", text, tls):
        yield Front(folder, plain, tls)


def test_nginx_takes_the_file(front):
    ended = subprocess.run(
        [require("nginx", "nginx-light"), "-t", "-p", front.folder, "-c", front.folder / "nginx/nginx.conf"],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert "warn" not in ended.stderr.replace("could not open error log", "")


def test_plain_http_is_led_to_https(front):
    connection = http.client.HTTPConnection("127.0.0.1", front.http, timeout=60)
    connection.request("GET", "/status?lang=en", headers={"Host": NAME})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert (answer.status, answer.headers["Location"]) == (301, f"https://{NAME}/status?lang=en")


def test_a_login_has_a_cookie_for_https_only_and_no_header_is_there_twice(front):
    answer = front.login("made-up-word-1")
    assert answer.status == 303
    session = answer.headers.get_all("Set-Cookie")[0]
    assert {"Secure", "HttpOnly"} <= {part.strip() for part in session.split(";")}
    for name in ("Strict-Transport-Security", "Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options"):
        assert len(answer.headers.get_all(name)) == 1, name


def test_who_is_refused_is_noted_with_the_address_of_the_visitor_whatever_he_claims(front):
    assert front.login("wrong-word", X_Forwarded_For="198.51.100.7").status == 401
    with sqlite3.connect(front.folder / "data/state.db") as database:
        query = "SELECT detail FROM audit WHERE action = 'login.failed' ORDER BY id DESC LIMIT 1"
        assert json.loads(database.execute(query).fetchone()[0]) == {"address": VISITOR}


def test_events_arrive_at_once(front):
    cookie = front.login("made-up-word-1").headers.get_all("Set-Cookie")[0].partition(";")[0]
    connection = front.connect()
    connection.request("GET", "/live", headers={"Host": NAME, "Cookie": cookie})
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.read1(1000).startswith(b"retry: ")
    connection.close()


def test_the_largest_write_that_the_centre_takes_passes_and_it_says_itself_what_is_too_large(front):
    line = 'load,host=srv-{} text="' + "x" * 900 + '"\n'
    body = "".join(line.format(number) for number in range(10_400)).encode()
    assert 9_500_000 < len(body) < 10_000_000
    write = "/api/v2/write?org=pantau&bucket=pantau"
    answer, told = front.ask("POST", write, body, Authorization="Token made-up")
    assert answer.status in {204, 422}, told  # 422: more new hosts than one token may bring
    answer, told = front.ask("POST", write, body + body[:1_000_000], Authorization="Token made-up")
    assert (answer.status, "larger than 10000000 bytes" in json.loads(told)["message"]) == (413, True)


def test_the_file_lets_pass_what_the_ingest_takes_and_keeps_events_open():
    from server.ingest.options import Options

    text = SITE.read_text()
    assert int(re.search(r"client_max_body_size (\d+)m;", text)[1]) * 2**20 > Options().body
    events = text[text.index("location = /live") :]
    assert "proxy_buffering off;" in events
    assert "proxy_read_timeout 1h;" in events
