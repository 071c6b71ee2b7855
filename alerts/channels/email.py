"""E-mail over SMTP. The ``Message-ID`` is made of the message's key, so that mail servers and readers can tell a repeat."""

import asyncio
import contextlib
import html
import socket
import ssl
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from typing import Annotated, Final, Literal

import aiosmtplib
import msgspec

from alerts.channels import Message, Refused, Unreachable
from configs.secret import Secret, SecretUnreadable
from configs.units import Duration

_PERMANENT: Final = range(500, 600)
_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"sender": "from"}):
    """Settings of a mail server.

    ``security`` is "starttls" (default; refused when the server does not offer it), "tls" from the start, or "none"; ``port``
    follows from it. ``from`` is what the reader sees (``Pantau <pantau@kota.example>``), ``envelope_from`` where bounces go.
    ``ca_file`` is an own certificate authority, ``helo`` how we introduce ourselves (default: this machine's name).
    """

    host: str
    sender: Annotated[str, msgspec.Meta(pattern=r"@")]
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password: Secret | None = None
    envelope_from: str = ""
    ca_file: str = ""
    helo: str = ""
    timeout: Duration = Duration(15)


class Email:
    """Sends one mail a connection; a recipient is an address."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self._options = options
        self._tls: ssl.SSLContext | None = None

    async def send(self, recipient: str, message: Message) -> str:
        """Send once; the id is the mail's Message-ID."""
        mail = compose(message, self._options.sender, recipient, formatdate())
        accepted = False
        try:
            async with asyncio.timeout(self._options.timeout):
                smtp = await self._client()
                try:
                    await self._greet(smtp)
                    await smtp.mail(self._envelope_from(), encoding="utf-8")
                    await smtp.rcpt(parseaddr(recipient)[1], encoding="utf-8")
                    accepted = True  # from here a lost answer leaves it open whether the mail was taken
                    await smtp.data(mail.as_bytes())
                    with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                        await smtp.quit()  # the mail is taken, whatever becomes of the good-bye
                finally:
                    smtp.close()
        except SecretUnreadable as error:
            raise Unreachable(str(error)) from error
        except aiosmtplib.SMTPResponseException as error:
            raise _answered(error) from None
        except (aiosmtplib.SMTPException, OSError, ssl.SSLError) as error:
            what = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
            raise Unreachable(f"mail server {self._options.host}: {what}", accepted=accepted) from None
        return str(mail["Message-ID"])

    async def close(self) -> None:
        """Nothing is kept between mails."""

    async def _client(self) -> aiosmtplib.SMTP:
        options = self._options
        if options.security != "none" and self._tls is None:
            self._tls = await asyncio.to_thread(_context, options.ca_file)
        return aiosmtplib.SMTP(
            hostname=options.host,
            port=options.port or _PORTS[options.security],
            local_hostname=options.helo or socket.gethostname(),
            timeout=options.timeout,
            use_tls=options.security == "tls",
            start_tls=options.security == "starttls",
            tls_context=self._tls,
        )

    async def _greet(self, smtp: aiosmtplib.SMTP) -> None:
        secret = self._options.password
        password = "" if secret is None else await asyncio.to_thread(secret.reveal)
        await smtp.connect()
        if self._options.user:
            await smtp.login(self._options.user, password)

    def _envelope_from(self) -> str:
        return parseaddr(self._options.envelope_from or self._options.sender)[1]


def compose(message: Message, sender: str, recipient: str, date: str) -> EmailMessage:
    """Build the mail, ``date`` as RFC 5322 writes it: plain text and HTML, threaded by incident, marked as sent by a machine."""
    domain = parseaddr(sender)[1].rpartition("@")[2]
    first = f"<{message.thread}@{domain}>"
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = recipient
    mail["Subject"] = message.title
    mail["Date"] = date
    mail["Message-ID"] = f"<{message.key}@{domain}>"
    mail["In-Reply-To"] = first
    mail["References"] = first
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Pantau-Kind"] = message.kind
    mail.set_content(message.text + "\n", cte="quoted-printable")
    mail.add_alternative(_as_html(message), subtype="html", cte="quoted-printable")
    return mail


def _as_html(message: Message) -> str:
    lines = "<br>\n".join(html.escape(line) for line in message.text.splitlines())
    return f"<p><strong>{html.escape(message.title)}</strong></p>\n<p>{lines}</p>\n"


def _answered(error: aiosmtplib.SMTPResponseException) -> Unreachable | Refused:
    """Sort an answer of the server: 5xx is for good, the rest is not; what it said is left out, it may repeat what it was told."""
    what = f"the mail server answered {error.code}"
    return Refused(what) if error.code in _PERMANENT else Unreachable(what)


def _context(ca_file: str) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=ca_file or None)
    # which Python 3.13 sets: an office's own authority may sign without naming its key, as it could before
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return made
