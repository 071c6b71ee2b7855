"""What checks are tried against: certificates of an own authority, nginx, bind, and servers that misbehave."""

import asyncio
import datetime as dt
import shutil
import socket
import tempfile
import time
import tomllib
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import parts
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from collectors.checks import CHECKS, Target
from configs.plugin import find
from configs.read import Source

NOW = dt.datetime.fromtimestamp(time.time(), dt.UTC)


@pytest.fixture
def now_ms():
    return int(time.time() * 1000)


@pytest.fixture
def build(tmp_path):
    """Build a check as the centre does: class by its name, options from TOML."""

    def make(kind, timeout=5.0, **options):
        chosen, shape = find("check", kind, CHECKS)
        parsed = Source("", tmp_path / "server.toml").parse(shape, options)
        return chosen(Target(f"simpus-{kind}", "service/simpus", timeout), parsed)

    return make


@pytest.fixture
def run(build, now_ms):
    """Build a check and run it once."""

    async def once(kind, timeout=5.0, **options):
        check = await asyncio.to_thread(build, kind, timeout, **options)
        return await check.run(now_ms)

    return once


class Authority:
    """A certificate with its key, able to sign others."""

    def __init__(self, name, issuer=None, *, days=365, hosts=(), ca=False, folder=None):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = issuer or self
        start = min(NOW - dt.timedelta(days=30), NOW + dt.timedelta(days=days - 30))
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(signer.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(NOW + dt.timedelta(days=days, hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if hosts:
            names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        self.certificate = builder.sign(signer.key, hashes.SHA256())

    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self):
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    """Certificates in every state that a service can be in; ``pki[name]`` is (chain file, key file), ``pki.ca`` the authority."""
    folder = tmp_path_factory.mktemp("pki")
    root = Authority("Akar Uji", ca=True, days=3650)
    middle = Authority("Antara Uji", root, ca=True)
    tired = Authority("Antara Hampir Habis", root, ca=True, days=5)
    gone = Authority("Akar Lama", ca=True, days=-10)
    local = {"hosts": ["localhost"]}
    leaves = {
        "good": (Authority("localhost", middle, days=90, **local), [middle]),
        "expired": (Authority("localhost", middle, days=-3, **local), [middle]),
        "expiring": (Authority("localhost", middle, days=10, **local), [middle]),
        "wrong_name": (Authority("lain.example", middle, days=90, hosts=["lain.example"]), [middle]),
        "self_signed": (Authority("localhost", days=90, **local), []),
        "incomplete": (Authority("localhost", middle, days=90, **local), []),
        "tired_issuer": (Authority("localhost", tired, days=90, **local), [tired]),
        "old_root_sent": (Authority("localhost", middle, days=90, **local), [middle, gone]),
    }
    files = {}
    for name, (leaf, chain) in leaves.items():
        pem, key = folder / f"{name}.pem", folder / f"{name}.key"
        pem.write_bytes(b"".join(entry.pem() for entry in (leaf, *chain)))
        key.write_bytes(leaf.key_pem())
        files[name] = (pem, key)
    ca = folder / "ca.pem"
    ca.write_bytes(root.pem())
    return SimpleNamespace(files=files, ca=str(ca))


NGINX = """
server {
    listen 127.0.0.1:%(http)d; server_name _; default_type text/html; root %(folder)s/www;
    location = / { return 200 "<h1>Selamat datang di SIMPUS</h1>"; }
    location = /fatal { return 200 "<b>Fatal error</b>: Uncaught PDOException"; }
    location = /500 { return 500 "galat"; }
    location = /503 { return 503; }
    location = /404 { return 404; }
    location = /403 { return 403; }
    location = /429 { return 429; }
    location = /204 { return 204; }
    location = /hop { return 301 /hop2; }
    location = /hop2 { return 302 /; }
    location = /loop { return 302 /loop; }
    location = /to_ftp { return 302 ftp://example.id/; }
    location = /cookie { add_header Set-Cookie "sesi=1; Path=/"; return 302 /cookie2; }
    location = /cookie2 { if ($cookie_sesi != "1") { return 403; } return 200 "masuk"; }
    location = /away { return 302 http://localhost:%(http)d/echo; }
    location = /near { return 302 /echo; }
    location = /leak { return 302 /404?token=$http_x_api_key; }
    location = /echo { return 200 "auth=[$http_authorization] key=[$http_x_api_key] agent=[$http_user_agent] method=[$request_method]"; }
    location = /post { if ($request_method = POST) { return 303 /echo; } return 405; }
    location = /keep { return 307 /echo; }
    location = /big.html { gzip on; gzip_min_length 1; }
    location = /plain.html { }
    location = /drip.html { limit_rate 2k; }
    location = /private { auth_basic "uji"; auth_basic_user_file %(folder)s/htpasswd; try_files /plain.html =404; }
}
"""
TLS_SERVER = """
server { listen 127.0.0.1:%d ssl; ssl_certificate %s; ssl_certificate_key %s;
    ssl_protocols TLSv1.2 TLSv1.3; location / { return 200 "aman"; } }
"""


@pytest.fixture(scope="session")
def web(tmp_path_factory, pki):
    """A running nginx; ``web.url`` is its plain address, ``web.tls[name]`` the port with that certificate."""
    parts.require("nginx", "nginx-light")
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "www").mkdir()
    (folder / "www/big.html").write_text("<p>Layanan Kesehatan</p>" * 20_000)
    (folder / "www/plain.html").write_text("<p>halaman</p>\n" * 10)
    (folder / "www/drip.html").write_text("x" * 20_000)
    (folder / "htpasswd").write_text("pantau:{PLAIN}s3kr3t-sandi\n")
    port = parts.free_port()
    tls = {name: parts.free_port() for name in pki.files}
    config = NGINX % {"http": port, "folder": folder}
    config += "".join(TLS_SERVER % (tls[name], pem, key) for name, (pem, key) in pki.files.items())
    with parts.nginx(folder, config, port):
        yield SimpleNamespace(url=f"http://127.0.0.1:{port}", port=port, tls=tls)


@asynccontextmanager
async def _serving(talk, **listening):
    clients = set()

    async def handle(reader, writer):
        clients.add(asyncio.current_task())
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, **listening)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


@pytest.fixture
def serving():
    """An asyncio server for one test: ``async with serving(talk) as port``; ``talk(reader, writer)`` is one client's story."""
    return _serving


ZONE = """$TTL 300
@ IN SOA ns.uji.test. admin.uji.test. 7 3600 600 86400 300
@ IN NS ns.uji.test.
ns IN A 127.0.0.1
simpus IN A 127.0.0.1
simpus IN A 127.0.0.2
dua IN A 127.0.0.1
dua IN AAAA ::1
enam IN AAAA ::1
www IN CNAME simpus.uji.test.
@ IN MX 10 Mail.uji.test.
@ IN TXT "v=spf1 include:_spf.uji.test -all"
@ IN CAA 0 issue "ca.example"
besar IN TXT %s
""" % "\nbesar IN TXT ".join(f'"{number:04d}{"x" * 200}"' for number in range(20))  # noqa: UP031 - braces of the zone stay as they are
REVERSE = """$TTL 300
@ IN SOA ns.uji.test. admin.uji.test. 1 3600 600 86400 300
@ IN NS ns.uji.test.
1 IN PTR simpus.uji.test.
"""
NAMED = """
options {{ directory "{folder}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no;
  pid-file "{folder}/pid"; session-keyfile "{folder}/session.key"; dnssec-validation no; allow-query {{ any; }}; }};
controls {{ }};
zone "uji.test" {{ type primary; file "{folder}/uji.test"; }};
zone "0.0.127.in-addr.arpa" {{ type primary; file "{folder}/reverse"; }};
zone "rusak.test" {{ type primary; file "{folder}/no-such-file"; }};
"""


@pytest.fixture(scope="session")
def bind():
    """A running bind for uji.test (rusak.test fails, others are refused); yields its port on 127.0.0.1."""
    binary = parts.require("named", "bind9")
    # Below /tmp itself, since a service user or a security profile may not reach pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix="pantau-bind-"))
    port = parts.free_port()
    (folder / "uji.test").write_text(ZONE)
    (folder / "reverse").write_text(REVERSE)
    (folder / "named.conf").write_text(NAMED.format(folder=folder, port=port))
    try:
        with parts.daemon([binary, "-g", "-c", folder / "named.conf"], port=port, log=folder / "log"):
            # it listens before it has read its zones
            parts.wait_for(lambda: "all zones loaded" in (folder / "log").read_text(), 15, "bind's zones")
            yield port
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def silent_udp():
    """A UDP port that takes everything and says nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        yield silent.getsockname()[1]


@pytest.fixture(scope="session")
def cases():
    """Cases as data: ``cases(name)`` are the tables of tests/cases/checks/<name>.toml."""
    folder = Path(__file__).parents[2] / "cases/checks"
    return lambda name: tomllib.loads((folder / f"{name}.toml").read_text())["case"]
