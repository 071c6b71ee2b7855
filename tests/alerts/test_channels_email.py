"""E-mail against a real SMTP server (aiosmtpd), good and bad."""

import asyncio
import datetime as dt
import email
import email.policy
import ipaddress
import socket
import ssl

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from parts import free_port

from alerts.channels import Message, Refused, Unreachable
from alerts.channels.email import Email, Options
from configs.secret import Secret
from configs.units import Duration

MESSAGE = Message(
    "abc123", "incident-9", "problem", "🔴 KRITIS · Layanan <A> padam", "Baris pertama é\nBaris < dua", {}
)
PASSWORD = "made-up-password"


class Mailbox:
    """Keeps mails; answers to a command as ordered."""

    def __init__(self):
        self.mails, self.rcpt, self.data, self.users = [], "", "250 OK", []

    async def handle_RCPT(self, _server, _session, envelope, address, _options):  # noqa: N802 - aiosmtpd's name
        if self.rcpt:
            return self.rcpt
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - aiosmtpd's name
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        if self.data == "hang":
            await asyncio.sleep(30)
        return self.data if self.data != "hang" else "250 OK"

    def login(self, _server, _session, _envelope, _mechanism, data):
        self.users.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password.decode() == PASSWORD, handled=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Make a certificate of 127.0.0.1 that signs itself; returns its file and the server's context."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail")])
    now = dt.datetime.now(dt.UTC)  # noqa: TID251 - a certificate is made for now
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, secret = folder / "cert.pem", folder / "key.pem"
    file.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, secret)
    return file, context


@pytest.fixture
def serve():
    """Start SMTP servers in threads of their own; ``serve(**settings)`` returns (mailbox, port)."""
    running = []

    def start(**settings):
        mailbox = Mailbox()
        controller = Controller(
            mailbox, hostname="127.0.0.1", port=free_port(), ready_timeout=60, authenticator=mailbox.login, **settings
        )
        controller.start()
        running.append(controller)
        return mailbox, controller.port

    yield start
    for controller in running:
        controller.stop()


def mailer(port, security="none", **more):
    options = Options(
        host="127.0.0.1",
        port=port,
        security=security,
        sender="Pantau <pantau@kota.example>",
        timeout=Duration(more.pop("timeout", 30)),
        **more,
    )
    return Email("mail", options)


async def outcome(channel):
    try:
        await channel.send("piket@kota.example", MESSAGE)
    except Unreachable as error:
        return ("uncertain" if error.accepted else "transient"), error
    except Refused as error:
        return "permanent", error
    return "delivered", None


async def test_a_mail_carries_text_html_and_the_marks_of_a_machine(serve):
    mailbox, port = serve()
    channel = mailer(port, envelope_from="bounce@kota.example")
    assert await channel.send("Piket <piket@kota.example>", MESSAGE) == "<abc123@kota.example>"
    [(envelope_from, recipients, raw)] = mailbox.mails
    assert (envelope_from, recipients) == ("bounce@kota.example", ["piket@kota.example"])
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert mail["Subject"] == MESSAGE.title
    assert mail["From"] == "Pantau <pantau@kota.example>"
    assert mail["To"] == "Piket <piket@kota.example>"
    assert mail["Message-ID"] == "<abc123@kota.example>"
    assert mail["In-Reply-To"] == mail["References"] == "<incident-9@kota.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"] is not None
    plain, html = mail.iter_parts()
    assert plain.get_content().splitlines() == MESSAGE.text.splitlines()
    assert "Layanan &lt;A&gt; padam" in html.get_content()
    assert "Baris &lt; dua" in html.get_content()


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_mail_travels_encrypted_and_after_login(serve, certificate, tmp_path, security):
    file, context = certificate
    (tmp_path / "password").write_text(PASSWORD)
    tls = (
        {"tls_context": context, "require_starttls": True, "auth_required": True}
        if security == "starttls"
        else {"ssl_context": context, "auth_require_tls": False}
    )
    mailbox, port = serve(**tls)
    secret = Secret("file", str(tmp_path / "password"))
    channel = mailer(port, security, ca_file=str(file), user="pantau", password=secret)
    assert (await outcome(channel))[0] == "delivered"
    assert mailbox.users == [("pantau", PASSWORD)]
    assert len(mailbox.mails) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_an_untrusted_certificate_gets_no_mail(serve, certificate, security):
    _, context = certificate
    mailbox, port = serve(**({"tls_context": context} if security == "starttls" else {"ssl_context": context}))
    assert (await outcome(mailer(port, security)))[0] == "transient"
    assert mailbox.mails == []


async def test_a_server_without_starttls_gets_no_mail_in_clear(serve):
    mailbox, port = serve()
    assert (await outcome(mailer(port, "starttls")))[0] == "transient"
    assert mailbox.mails == []


async def test_a_wrong_password_is_for_good_and_not_shown(serve, tmp_path):
    (tmp_path / "password").write_text("other-made-up")
    _, port = serve(auth_require_tls=False)
    secret = Secret("file", str(tmp_path / "password"))
    kind, error = await outcome(mailer(port, user="pantau", password=secret))
    assert kind == "permanent"
    assert "other-made-up" not in f"{error} {error!r} {error.__cause__!r}"


@pytest.mark.parametrize(
    ("rcpt", "data", "expected"),
    [
        ("", "250 OK", "delivered"),
        ("550 no such user", "250 OK", "permanent"),
        ("451 greylisted", "250 OK", "transient"),
        ("", "452 disk full", "transient"),
        ("", "554 rejected", "permanent"),
        ("", "hang", "uncertain"),
    ],
)
async def test_answers_are_sorted(serve, rcpt, data, expected):
    mailbox, port = serve()
    mailbox.rcpt, mailbox.data = rcpt, data
    assert (await outcome(mailer(port, timeout=2 if data == "hang" else 30)))[0] == expected


async def test_nobody_at_the_address_means_that_nothing_was_taken():
    assert (await outcome(mailer(free_port())))[0] == "transient"


async def test_a_server_that_never_greets_means_that_nothing_was_taken():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert (await outcome(mailer(silent.getsockname()[1], timeout=0.3)))[0] == "transient"


async def test_a_password_that_cannot_be_read_is_tried_again(serve, tmp_path):
    _, port = serve()
    missing = Secret("file", str(tmp_path / "missing"))
    assert (await outcome(mailer(port, user="pantau", password=missing)))[0] == "transient"
